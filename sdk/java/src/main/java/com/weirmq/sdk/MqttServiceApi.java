package com.weirmq.sdk;

import java.net.http.HttpClient;
import java.util.Objects;

/**
 * Makes publishers and subscribers. Safe for several threads.
 *
 * <pre>{@code
 * MqttServiceApi api = MqttServiceApi.webSocket()
 *     .url("ws://127.0.0.1:8083")
 *     .tokenApi(TokenApi.basic("http://127.0.0.1:8083", "demo/service", "demo"))
 *     .build();
 * }</pre>
 */
public interface MqttServiceApi extends AutoCloseable {
    /**
     * Starts an API that connects by WebSocket.
     *
     * @return a builder
     */
    static Builder webSocket() {
        return new Builder();
    }

    /**
     * Makes a publisher, which connects without being waited for.
     *
     * @param config what it is to be
     * @return the publisher
     */
    MqttPublisher buildPublisher(PublisherConfig config);

    /**
     * Makes a subscriber, which connects when it gets its listener.
     *
     * @param config what it is to be
     * @return the subscriber
     */
    MqttSubscriber buildSubscriber(SubscriberConfig config);

    /** Closes all publishers and subscribers that this made. */
    @Override
    void close();

    /** Builds APIs. Not for several threads. */
    final class Builder {
        private String url;
        private TokenApi tokenApi;
        private ReconnectPolicy reconnect = ReconnectPolicy.defaults();
        private HttpClient client;
        private Settings.Limits limits = new Settings.Limits();

        private Builder() {}

        /**
         * Sets the server, without which there is no API.
         *
         * @param url {@code ws://} or {@code wss://}, host and port
         * @return this
         */
        public Builder url(String url) {
            this.url = url;
            return this;
        }

        /**
         * Sets where tokens come from, without which there is no API.
         *
         * @param tokenApi usually {@link TokenApi#basic(String, String, String)}
         * @return this
         */
        public Builder tokenApi(TokenApi tokenApi) {
            this.tokenApi = tokenApi;
            return this;
        }

        /**
         * Sets when to connect again: {@link ReconnectPolicy#defaults} unless set.
         *
         * @param reconnect not null
         * @return this
         */
        public Builder reconnect(ReconnectPolicy reconnect) {
            this.reconnect = Objects.requireNonNull(reconnect, "reconnect");
            return this;
        }

        /**
         * Sets the HTTP client that opens WebSockets, for certificates or a proxy: one of its own unless set.
         *
         * @param client not null
         * @return this
         */
        public Builder httpClient(HttpClient client) {
            this.client = Objects.requireNonNull(client, "client");
            return this;
        }

        /** Sets other times and sizes, for tests. */
        Builder limits(Settings.Limits limits) {
            this.limits = limits;
            return this;
        }

        /**
         * Builds the API. Nothing connects yet.
         *
         * @return the API
         * @throws IllegalArgumentException when something in it cannot be
         */
        public MqttServiceApi build() {
            if (url == null || !url.startsWith("ws://") && !url.startsWith("wss://")) {
                throw new IllegalArgumentException("the URL does not begin with ws:// or wss://");
            }
            if (tokenApi == null) {
                throw new IllegalArgumentException("the token API is missing");
            }
            String base = url.endsWith("/") ? url.substring(0, url.length() - 1) : url;
            HttpClient http = client == null ? HttpClient.newHttpClient() : client;
            return new WebSocketApi(new Settings(base, tokenApi, reconnect, http, limits));
        }
    }
}
