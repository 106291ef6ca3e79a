package com.weirmq.sdk;

import java.util.concurrent.CompletableFuture;

/**
 * Receives the messages of one topic or topic filter, under a name. Safe for several threads.
 *
 * <p>What is published while a named subscriber is not connected is kept for it, unless it is not persistent.
 */
public interface MqttSubscriber extends AutoCloseable {
    /**
     * Connects, and hands messages to a listener from then on. Does not block. Can be called once. The JVM does not
     * end before {@link #close}, unless the subscriber gives up.
     *
     * @param listener gets the messages, one after the other
     * @return completed when the connection is there for the first time: what is published from then on is received.
     *     Exceptionally with a {@link MqttServiceException} when it gave up or was closed before
     */
    CompletableFuture<Void> subscribe(MessageListener listener);

    /**
     * Connects at once, dropping the connection that is there. Messages that were not acknowledged come again.
     *
     * @throws IllegalStateException before {@link #subscribe}
     */
    void reconnect();

    /**
     * Ends the connection, and removes the subscriber on the server with all that is stored for it.
     *
     * @throws MqttServiceException when the server could not be told; {@code unsubscribe} can be called again
     */
    void unsubscribe();

    /**
     * Ends the connection. Waits a few seconds for a listener that is at work, whose message is acknowledged still.
     * The server keeps messages for the subscriber.
     */
    @Override
    void close();
}
