package com.weirmq.sdk;

/**
 * Learns what becomes of a connection. All callbacks of one publisher or subscriber, the message listener's included,
 * run on one thread, one after the other.
 */
public interface ConnectionListener {
    /** The connection is there, for the first time or again. */
    default void onConnected() {}

    /**
     * A connection that was there is lost. Unless reconnecting is off it is tried again.
     *
     * @param cause why
     */
    default void onDisconnected(MqttServiceException cause) {}

    /**
     * Something failed: an attempt to connect, a message that the message listener threw at or that cannot be decoded,
     * or what the server reports that is not about one publish. Refused publishes fail their own future instead.
     *
     * @param error a {@link MqttServiceException}, or what the message listener threw
     */
    default void onError(Throwable error) {}
}
