package com.weirmq.sdk;

import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.regex.Pattern;

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

    private static final Pattern URL_SAFE = Pattern.compile("[A-Za-z0-9._~=-]+");

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
        String made = api.create(request);
        if (!URL_SAFE.matcher(made).matches()) {
            // Not shown: it may be good elsewhere.
            throw new MqttServiceException(
                    MqttServiceException.TOKEN_FAILED, "the token cannot stand in a URL as it is", null);
        }
        value = made;
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
