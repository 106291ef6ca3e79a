package com.weirmq.sdk;

import java.util.Objects;

/** What a publisher is to be. */
public final class PublisherConfig {
    private final String topic;
    private final ConnectionListener connectionListener;
    private final int windowMessages;
    private final long windowBytes;

    private PublisherConfig(Builder builder) {
        topic = Configs.notBlank(builder.topic, "topic");
        connectionListener = builder.connectionListener;
        windowMessages = (int) Configs.positive(builder.windowMessages, "windowMessages");
        windowBytes = Configs.positive(builder.windowBytes, "windowBytes");
    }

    /**
     * Starts a configuration.
     *
     * @return a builder
     */
    public static Builder publisherConfig() {
        return new Builder();
    }

    /**
     * The topic.
     *
     * @return never blank
     */
    public String getTopic() {
        return topic;
    }

    /**
     * Who learns what becomes of the connection.
     *
     * @return never null
     */
    public ConnectionListener getConnectionListener() {
        return connectionListener;
    }

    /**
     * How many messages may have no answer yet.
     *
     * @return at least 1
     */
    public int getWindowMessages() {
        return windowMessages;
    }

    /**
     * How large these messages may be, encoded.
     *
     * @return at least 1
     */
    public long getWindowBytes() {
        return windowBytes;
    }

    /** Builds configurations. Not for several threads. */
    public static final class Builder {
        private String topic;
        private ConnectionListener connectionListener = new ConnectionListener() {};
        private int windowMessages = 1_000;
        private long windowBytes = 8 * 1024 * 1024;

        private Builder() {}

        /**
         * Sets the topic, without which there is no publisher.
         *
         * @param topic a topic name, without wildcards
         * @return this
         */
        public Builder topic(String topic) {
            this.topic = topic;
            return this;
        }

        /**
         * Sets who learns what becomes of the connection.
         *
         * @param connectionListener not null
         * @return this
         */
        public Builder connectionListener(ConnectionListener connectionListener) {
            this.connectionListener = Objects.requireNonNull(connectionListener, "connectionListener");
            return this;
        }

        /**
         * Sets how many messages may have no answer yet: 1,000 unless set.
         *
         * @param windowMessages at least 1
         * @return this
         */
        public Builder windowMessages(int windowMessages) {
            this.windowMessages = windowMessages;
            return this;
        }

        /**
         * Sets how large these messages may be together, encoded: 8 MiB unless set. A larger one goes alone.
         *
         * @param windowBytes at least 1
         * @return this
         */
        public Builder windowBytes(long windowBytes) {
            this.windowBytes = windowBytes;
            return this;
        }

        /**
         * Builds the configuration.
         *
         * @return the configuration
         * @throws IllegalArgumentException when something in it cannot be
         */
        public PublisherConfig build() {
            return new PublisherConfig(this);
        }
    }
}
