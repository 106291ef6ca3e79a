package com.weirmq.sdk;

import java.time.Clock;
import java.time.Duration;
import java.time.Instant;

/** The token of one publisher or subscriber, asked for anew when a tenth of its life is left, or when refused. */
final class TokenCache {
    /** How long a token is good where nobody says. */
    static final int DEFAULT_MINUTES = 1440;

    /** A token, and whether it was asked for just now. */
    static final class Token {
        final String value;
        final boolean fresh;

        private Token(String value, boolean fresh) {
            this.value = value;
            this.fresh = fresh;
        }
    }

    private final TokenApi api;
    private final TokenRequest request;
    private final Clock clock;

    // Guarded by this.
    private String value;
    private Instant goodUntil;

    TokenCache(TokenApi api, TokenRequest request, Clock clock) {
        this.api = api;
        this.request = request;
        this.clock = clock;
    }

    synchronized Token get() {
        if (value != null && clock.instant().isBefore(goodUntil)) {
            return new Token(value, false);
        }
        // The life of a token starts when the server makes it, which is not before it was asked for.
        Instant asked = clock.instant();
        value = null;
        value = api.create(request);
        goodUntil = asked.plus(Duration.ofMinutes(request.getExpiresInMinutes()).multipliedBy(9).dividedBy(10));
        return new Token(value, true);
    }

    /** Forgets a token that the server refused, unless there is another already. */
    synchronized void refused(Token token) {
        if (token.value.equals(value)) {
            value = null;
        }
    }

    /** Removes the subscriber on the server. */
    void unsubscribe() {
        Token token = get();
        try {
            api.unsubscribe(token.value);
        } catch (MqttServiceException e) {
            if (e.getStatus() != 401 || token.fresh) {
                throw e;
            }
            refused(token);
            api.unsubscribe(get().value);
        }
    }
}
