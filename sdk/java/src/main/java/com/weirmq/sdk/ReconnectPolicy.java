package com.weirmq.sdk;

import java.time.Duration;

/**
 * When a connection that broke, or that could not be made, is tried again: after a delay that doubles from attempt to
 * attempt up to a maximum, of which a random part is taken off, so that clients do not come back all at once.
 */
public final class ReconnectPolicy {
    private static final ReconnectPolicy DEFAULT = exponential(Duration.ofMillis(500), Duration.ofSeconds(30));

    private final boolean enabled;
    private final Duration initial;
    private final Duration max;
    private final double jitter;

    private ReconnectPolicy(boolean enabled, Duration initial, Duration max, double jitter) {
        this.enabled = enabled;
        this.initial = initial;
        this.max = max;
        this.jitter = jitter;
    }

    /**
     * What holds when nothing is configured.
     *
     * @return from half a second to 30 seconds, of which up to the half is taken off
     */
    public static ReconnectPolicy defaults() {
        return DEFAULT;
    }

    /**
     * Tries again and again.
     *
     * @param initial the first delay, more than zero
     * @param max the longest delay, not below the first
     * @return a policy with a jitter of 0.5
     */
    public static ReconnectPolicy exponential(Duration initial, Duration max) {
        if (initial.isZero() || initial.isNegative() || max.compareTo(initial) < 0) {
            throw new IllegalArgumentException("delays from " + initial + " to " + max);
        }
        return new ReconnectPolicy(true, initial, max, 0.5);
    }

    /**
     * Never tries again by itself: {@link MqttPublisher#reconnect} and {@link MqttSubscriber#reconnect} do.
     *
     * @return the policy
     */
    public static ReconnectPolicy off() {
        return new ReconnectPolicy(false, Duration.ZERO, Duration.ZERO, 0);
    }

    /**
     * The same with another jitter.
     *
     * @param jitter the share of a delay that is taken off at most, 0…1
     * @return a new policy
     */
    public ReconnectPolicy withJitter(double jitter) {
        if (!(jitter >= 0 && jitter <= 1)) {
            throw new IllegalArgumentException("jitter " + jitter);
        }
        return new ReconnectPolicy(enabled, initial, max, jitter);
    }

    boolean isEnabled() {
        return enabled;
    }

    /** The delay after so many attempts in vain, counted from 0; random is 0…1. */
    Duration delay(int attempts, double random) {
        double whole = Math.min(max.toMillis(), initial.toMillis() * Math.pow(2, attempts));
        return Duration.ofMillis(Math.round(whole * (1 - jitter * random)));
    }
}
