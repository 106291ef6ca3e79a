package bridge

import (
	"slices"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/quota"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// recipientProperty is the user property by which an application addresses a message to one client identifier.
const recipientProperty = "weir-to"

// recipient returns the client identifier that alone gets the message, empty for all, and takes the property that says so out of p:
// it is for Weir, not for who receives the message. What a device calls so is a property like any other.
func (s *session) recipient(p *codec.Publish) (to string, err error) {
	users := p.Properties.Message.UserProperties
	if len(users) == 0 || s.role != tenant.RoleApplication {
		return "", nil
	}
	addressed := func(u codec.UserProperty) bool { return u.Name == recipientProperty }
	i := slices.IndexFunc(users, addressed)
	if i < 0 {
		return "", nil
	}
	to = users[i].Value
	if slices.ContainsFunc(users[i+1:], addressed) {
		return "", reason.New(reason.RecipientInvalid, "more than one user property "+recipientProperty)
	}
	if err := quota.Recipient(s.limits, to); err != nil {
		return "", err
	}
	p.Properties.Message.UserProperties = slices.Delete(users, i, i+1)
	return to, nil
}
