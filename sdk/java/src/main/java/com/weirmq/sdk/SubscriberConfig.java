package com.weirmq.sdk;

import java.util.Objects;

/** What a subscriber is to be. */
public final class SubscriberConfig {
    private final String topic;
    private final String subscriber;
    private final ConnectionListener connectionListener;
    private final boolean shared;
    private final boolean nonPersistent;
    private final int expiresInMinutes;

    private SubscriberConfig(Builder builder) {
        topic = Configs.notBlank(builder.topic, "topic");
        subscriber = Configs.notBlank(builder.subscriber, "subscriber");
        connectionListener = builder.connectionListener;
        shared = builder.shared;
        nonPersistent = builder.nonPersistent;
        expiresInMinutes = (int) Configs.positive(builder.expiresInMinutes, "expiresInMinutes");
    }

    /**
     * Starts a configuration.
     *
     * @return a builder
     */
    public static Builder subscriberConfig() {
        return new Builder();
    }

    /**
     * The topic or topic filter.
     *
     * @return never blank
     */
    public String getTopic() {
        return topic;
    }

    /**
     * The name under which messages are kept.
     *
     * @return never blank
     */
    public String getSubscriber() {
        return subscriber;
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
     * Whether several connections share the messages.
     *
     * @return false: only one may be there at a time
     */
    public boolean isShared() {
        return shared;
    }

    /**
     * Whether nothing is kept while there is no connection.
     *
     * @return false: messages are kept
     */
    public boolean isNonPersistent() {
        return nonPersistent;
    }

    /**
     * How long a token is good.
     *
     * @return minutes
     */
    public int getExpiresInMinutes() {
        return expiresInMinutes;
    }

    /** Builds configurations. Not for several threads. */
    public static final class Builder {
        private String topic;
        private String subscriber;
        private ConnectionListener connectionListener = new ConnectionListener() {};
        private boolean shared;
        private boolean nonPersistent;
        private int expiresInMinutes = TokenCache.DEFAULT_MINUTES;

        private Builder() {}

        /**
         * Sets the topic, without which there is no subscriber. With wildcards, {@code +} for a level and {@code #} for
         * all that follow, {@link MqttServiceMetadata#getTopic} tells where a message was published.
         *
         * @param topic a topic or topic filter
         * @return this
         */
        public Builder topic(String topic) {
            this.topic = topic;
            return this;
        }

        /**
         * Sets the name under which messages are kept, without which there is no subscriber. It should stay the same
         * from start to start: every name is a subscriber of its own, for which messages pile up.
         *
         * @param subscriber the name
         * @return this
         */
        public Builder subscriber(String subscriber) {
            this.subscriber = subscriber;
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
         * Sets whether several connections share the messages: each goes to one of them. Not so unless set: a second
         * connection is refused with {@link MqttServiceException#SUBSCRIBER_IN_USE} and tries again.
         *
         * @param shared true: they do
         * @return this
         */
        public Builder shared(boolean shared) {
            this.shared = shared;
            return this;
        }

        /**
         * Sets whether nothing is kept while there is no connection. Not so unless set.
         *
         * @param nonPersistent true: nothing is
         * @return this
         */
        public Builder nonPersistent(boolean nonPersistent) {
            this.nonPersistent = nonPersistent;
            return this;
        }

        /**
         * Sets how long a token is good: a day unless set. Another one is asked for in time.
         *
         * @param expiresInMinutes at least 1
         * @return this
         */
        public Builder expiresInMinutes(int expiresInMinutes) {
            this.expiresInMinutes = expiresInMinutes;
            return this;
        }

        /**
         * Builds the configuration.
         *
         * @return the configuration
         * @throws IllegalArgumentException when something in it cannot be
         */
        public SubscriberConfig build() {
            return new SubscriberConfig(this);
        }
    }
}
