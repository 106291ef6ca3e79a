package tenant_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirmq/weir/tenant"
)

func TestResolve(t *testing.T) {
	tests := []struct {
		name string
		give tenant.Quotas
		want tenant.Limits
	}{
		{"defaults", tenant.Quotas{}, tenant.Limits{
			Connections: 1000, Topics: 1000, MessageBytes: 131072, ClientIDBytes: 128, TopicBytes: 256,
			BacklogBytes: 26214400, BacklogMessages: math.MaxInt64, TTL: 36 * time.Hour, Inflight: 100,
			StorageBytes: math.MaxInt64, HoldMessages: 5000, HoldBytes: 8388608, KeepAliveMax: 0,
			SubscriberIdle: 168 * time.Hour,
		}},
		{"unlimited, up to the hard maxima", tenant.Quotas{
			Connections: -1, Topics: -1, MessageBytes: -1, ClientIDBytes: -1, TopicBytes: -1, BacklogBytes: -1,
			BacklogMessages: -1, TTL: -1, Inflight: -1, StorageBytes: -1, HoldMessages: -1, HoldBytes: -1, KeepAliveMax: -1,
			SubscriberIdle: -1,
		}, tenant.Limits{
			Connections: tenant.Unlimited, Topics: tenant.Unlimited, MessageBytes: 268435460, ClientIDBytes: 256, TopicBytes: 1024,
			BacklogBytes: tenant.Unlimited, BacklogMessages: tenant.Unlimited, TTL: 0, Inflight: 65535,
			StorageBytes: tenant.Unlimited, HoldMessages: tenant.Unlimited, HoldBytes: tenant.Unlimited, KeepAliveMax: 0,
			SubscriberIdle: tenant.Unlimited,
		}},
		{"as given", tenant.Quotas{
			Connections: 1, Topics: 2, MessageBytes: 3, ClientIDBytes: 4, TopicBytes: 5, BacklogBytes: 6,
			BacklogMessages: 7, TTL: 8 * time.Second, Inflight: 9, StorageBytes: 10, HoldMessages: 11, HoldBytes: 12, KeepAliveMax: 13 * time.Second,
			SubscriberIdle: 14 * time.Second,
		}, tenant.Limits{
			Connections: 1, Topics: 2, MessageBytes: 3, ClientIDBytes: 4, TopicBytes: 5, BacklogBytes: 6,
			BacklogMessages: 7, TTL: 8 * time.Second, Inflight: 9, StorageBytes: 10, HoldMessages: 11, HoldBytes: 12, KeepAliveMax: 13 * time.Second,
			SubscriberIdle: 14 * time.Second,
		}},
		{"over the hard maxima", tenant.Quotas{
			Connections: 1, Topics: 1, MessageBytes: math.MaxInt64, ClientIDBytes: 257, TopicBytes: 1025, BacklogBytes: 1, BacklogMessages: 1,
			TTL: time.Second, Inflight: 65536, StorageBytes: 1, HoldMessages: 1, HoldBytes: 1, KeepAliveMax: 65536 * time.Second, SubscriberIdle: time.Second,
		}, tenant.Limits{
			Connections: 1, Topics: 1, MessageBytes: 268435460, ClientIDBytes: 256, TopicBytes: 1024, BacklogBytes: 1, BacklogMessages: 1,
			TTL: time.Second, Inflight: 65535, StorageBytes: 1, HoldMessages: 1, HoldBytes: 1, KeepAliveMax: 65535 * time.Second, SubscriberIdle: time.Second,
		}},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, test.give.Resolve()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}
