package com.weirmq.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class ReconnectPolicyTest {
    private static final Duration SECOND = Duration.ofSeconds(1);

    @Test
    void delaysDoubleUpToTheMaximum() {
        ReconnectPolicy policy = ReconnectPolicy.exponential(SECOND, Duration.ofSeconds(10));
        assertEquals(SECOND, policy.delay(0, 0));
        assertEquals(Duration.ofSeconds(2), policy.delay(1, 0));
        assertEquals(Duration.ofSeconds(8), policy.delay(3, 0));
        assertEquals(Duration.ofSeconds(10), policy.delay(4, 0));
        assertEquals(Duration.ofSeconds(10), policy.delay(Integer.MAX_VALUE, 0));
    }

    @Test
    void jitterTakesOff() {
        ReconnectPolicy policy = ReconnectPolicy.exponential(SECOND, SECOND);
        assertEquals(Duration.ofMillis(500), policy.delay(0, 1));
        assertEquals(Duration.ofMillis(900), policy.withJitter(0.2).delay(0, 0.5));
        assertEquals(SECOND, policy.withJitter(0).delay(0, 1));
    }

    @Test
    void whatCannotBeIsRefused() {
        assertFalse(ReconnectPolicy.off().isEnabled());
        assertThrows(IllegalArgumentException.class, () -> ReconnectPolicy.exponential(Duration.ZERO, SECOND));
        assertThrows(IllegalArgumentException.class,
                () -> ReconnectPolicy.exponential(SECOND, Duration.ofMillis(1)));
        assertThrows(IllegalArgumentException.class, () -> ReconnectPolicy.defaults().withJitter(1.1));
        assertThrows(IllegalArgumentException.class, () -> ReconnectPolicy.defaults().withJitter(Double.NaN));
    }
}
