package com.weirmq.sdk;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/**
 * Publishes to one topic. Safe for several threads.
 *
 * <p>Messages are stored in the order in which they were published. Those without an answer when the connection breaks
 * are sent again, in order, when it is there again, so that a message can be stored twice.
 */
public interface MqttPublisher extends AutoCloseable {
    /**
     * Publishes a message. Does not block.
     *
     * @param message the message
     * @return completed when the message is stored, on the callback thread; exceptionally with a
     *     {@link MqttServiceException} when it was refused, when as many messages as the window takes have no answer
     *     yet ({@link MqttServiceException#WINDOW_FULL}), or when the publisher gave up or was closed. Cancelling it,
     *     or letting it time out, takes the message back if it was not sent yet
     */
    CompletableFuture<Void> publish(MqttServiceMessage message);

    /**
     * Publishes a message and waits until it is stored; before, where the window is full, until there is room.
     *
     * @param message the message
     * @param timeout how long to wait at most
     * @throws MqttServiceException when it was refused, or when there was no answer in time
     *     ({@link MqttServiceException#TIMEOUT}): it may be stored nevertheless
     */
    void publishAndWait(MqttServiceMessage message, Duration timeout);

    /** Connects at once, dropping the connection that is there, and takes messages again if it had given up. */
    void reconnect();

    /** Waits a few seconds for answers, fails the publishes that have none, and ends the connection. */
    @Override
    void close();
}
