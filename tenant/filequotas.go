package tenant

import "time"

func parseQuotas(kv pair, q *Quotas) error {
	pairs, err := mapping(kv.value, kv.path)
	if err != nil {
		return err
	}
next:
	for _, kv := range pairs {
		for _, k := range quotaKeys {
			if k.name != kv.key.Value {
				continue
			}
			v, err := parseNumber(kv, k)
			if err != nil {
				return err
			}
			*k.field(q) = v
			continue next
		}
		return errorAt(kv.key, kv.path, "unknown key")
	}
	return nil
}

func parseNumber[T Quotas | Rule](kv pair, k numberKey[T]) (int64, error) {
	var v int64
	if k.duration && kv.value.Tag == "!!str" {
		d, err := time.ParseDuration(kv.value.Value)
		if err != nil {
			return 0, errorAt(kv.value, kv.path, "must be a duration such as 36h, or 0, or -1")
		}
		if d == -1 {
			return 0, errorAt(kv.value, kv.path, "must not be negative, except -1 for unlimited")
		}
		v = int64(d)
	} else {
		n, err := integer(kv)
		if err != nil {
			return 0, err
		}
		switch {
		case k.seconds && 0 < n && n <= k.max/int64(time.Second):
			n *= int64(time.Second)
		case k.duration && n != 0 && n != -1:
			return 0, errorAt(kv.value, kv.path, "must be a duration such as 36h, or 0, or -1")
		}
		v = n
	}
	if err := k.check(v); err != nil {
		return 0, errorAt(kv.value, kv.path, err.Error())
	}
	return v, nil
}
