package com.weirmq.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import org.junit.jupiter.api.Test;

class TokenCacheTest {
    private final Counter api = new Counter();
    private final Hand clock = new Hand();
    private final TokenCache cache = new TokenCache(api, new TokenRequest("s", "t", 100, false, false), clock);

    @Test
    void keepsATokenUntilATenthOfItsLifeIsLeft() {
        TokenCache.Token first = cache.get();
        assertEquals("1", first.value);
        assertTrue(first.fresh);
        clock.now = clock.now.plus(Duration.ofMinutes(89));
        assertEquals("1", cache.get().value);
        assertFalse(cache.get().fresh);
        clock.now = clock.now.plus(Duration.ofMinutes(1));
        assertEquals("2", cache.get().value);
    }

    @Test
    void forgetsATokenThatWasRefused() {
        TokenCache.Token first = cache.get();
        cache.refused(first);
        assertEquals("2", cache.get().value);
        cache.refused(first);
        assertEquals("2", cache.get().value);
    }

    @Test
    void tokenThatCannotStandInAUrlIsRefusedAndNotShown() {
        api.prefix = "secret token ";
        MqttServiceException refusal = assertThrows(MqttServiceException.class, cache::get);
        assertEquals(MqttServiceException.TOKEN_FAILED, refusal.getCode());
        assertFalse(refusal.getMessage().contains("secret"));
    }

    private static final class Counter implements TokenApi {
        private String prefix = "";
        private int made;

        @Override
        public String create(TokenRequest request) {
            made++;
            return prefix + made;
        }

        @Override
        public void unsubscribe(String token) {
            throw new AssertionError(token);
        }
    }

    /** A clock that is set by hand. */
    private static final class Hand extends Clock {
        private Instant now = Instant.EPOCH;

        @Override
        public ZoneId getZone() {
            return ZoneOffset.UTC;
        }

        @Override
        public Clock withZone(ZoneId zone) {
            throw new AssertionError(zone);
        }

        @Override
        public Instant instant() {
            return now;
        }
    }
}
