package com.weirmq.sdk;

import java.util.Objects;

/** What a token is to be for. */
public final class TokenRequest {
    private final String subscriber;
    private final String subscription;
    private final int expiresInMinutes;
    private final boolean shared;
    private final boolean nonPersistent;

    /**
     * Makes a request.
     *
     * @param subscriber the name of the subscriber; publishers all have the same
     * @param subscription the topic, or for a subscriber the topic filter
     * @param expiresInMinutes how long the token is good
     * @param shared whether several connections share the subscriber's messages
     * @param nonPersistent whether the subscriber ends with its connection
     */
    public TokenRequest(
            String subscriber, String subscription, int expiresInMinutes, boolean shared, boolean nonPersistent) {
        this.subscriber = Objects.requireNonNull(subscriber, "subscriber");
        this.subscription = Objects.requireNonNull(subscription, "subscription");
        this.expiresInMinutes = expiresInMinutes;
        this.shared = shared;
        this.nonPersistent = nonPersistent;
    }

    /**
     * The name of the subscriber.
     *
     * @return never null
     */
    public String getSubscriber() {
        return subscriber;
    }

    /**
     * The topic or topic filter.
     *
     * @return never null
     */
    public String getSubscription() {
        return subscription;
    }

    /**
     * How long the token is good.
     *
     * @return minutes
     */
    public int getExpiresInMinutes() {
        return expiresInMinutes;
    }

    /**
     * Whether several connections share the subscriber's messages.
     *
     * @return true: they do
     */
    public boolean isShared() {
        return shared;
    }

    /**
     * Whether the subscriber ends with its connection.
     *
     * @return true: it does, and misses what is published in between
     */
    public boolean isNonPersistent() {
        return nonPersistent;
    }
}
