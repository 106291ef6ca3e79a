package com.weirmq.sdk;

/** Receives the messages of a subscriber, one after the other, on one thread. */
@FunctionalInterface
public interface MessageListener {
    /**
     * Handles a message, which is acknowledged when this returns. When it throws, the message is not acknowledged, the
     * connection listener's {@code onError} gets the exception, and the message comes again with the next connection.
     *
     * @param message the message
     * @throws Exception when it could not be handled
     */
    void onMessage(MqttServiceMessage message) throws Exception;
}
