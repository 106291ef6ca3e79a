package com.weirmq.sdk;

import java.net.http.HttpClient;
import java.time.Duration;

/** What all publishers and subscribers of one API have in common. */
final class Settings {
    final String url;
    final TokenApi tokenApi;
    final ReconnectPolicy reconnect;
    final HttpClient client;
    final Limits limits;

    Settings(String url, TokenApi tokenApi, ReconnectPolicy reconnect, HttpClient client, Limits limits) {
        this.url = url;
        this.tokenApi = tokenApi;
        this.reconnect = reconnect;
        this.client = client;
        this.limits = limits;
    }

    /** Times and sizes that are nobody's choice, but for tests. */
    static final class Limits {
        /** How long the opening handshake may take. */
        final Duration connect = Duration.ofSeconds(30);

        /** How long close waits for answers, listeners and the server. */
        Duration close = Duration.ofSeconds(5);

        /** How long a connection lasts before delays start from the first again. */
        final Duration stable = Duration.ofSeconds(10);

        /** A ping is sent this often, */
        Duration ping = Duration.ofSeconds(60);

        /** and a connection on which nothing, no pong either, came for so long is dropped. */
        Duration pong = Duration.ofSeconds(90);

        /** Characters of a frame, which hold three quarters as many bytes of a message. */
        int frame = 16 * 1024 * 1024;

        /**
         * Messages that a subscriber holds until they are acknowledged. Weir has no more than 1,000 and 4 MiB under
         * way, so that reading stops, and with it the answers to pings, only for servers that know no bounds.
         */
        int heldMessages = 2_000;

        /** The same in characters. */
        long heldSize = 16 * 1024 * 1024;
    }
}
