package com.weirmq.sdk;

import java.time.Duration;
import java.util.Base64;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A publisher: its frames are a number, a newline and the message; the answers name the number. */
final class WebSocketPublisher implements MqttPublisher {
    /** The subscriber that the tokens of all publishers name. */
    private static final String SUBSCRIBER = "mqttServicePublisher";

    private static final Logger LOG = LoggerFactory.getLogger(WebSocketPublisher.class);

    private final Duration patience;
    private final Consumer<MqttPublisher> onClose;
    private final PublishWindow window;
    private final Callbacks callbacks;
    private final Link link;

    WebSocketPublisher(Settings settings, PublisherConfig config, Consumer<MqttPublisher> onClose) {
        patience = settings.limits.close;
        this.onClose = onClose;
        window = new PublishWindow(config.getWindowMessages(), config.getWindowBytes());
        callbacks = new Callbacks("weir-publisher " + config.getTopic(), true, config.getConnectionListener());
        TokenRequest request =
                new TokenRequest(SUBSCRIBER, config.getTopic(), TokenCache.DEFAULT_MINUTES, false, false);
        link = new Link(settings, "producer", request, callbacks, new Frames());
        link.reconnect();
    }

    @Override
    public CompletableFuture<Void> publish(MqttServiceMessage message) {
        PublishWindow.Publish publish;
        try {
            publish = window.add(encode(message));
        } catch (MqttServiceException refusal) {
            return CompletableFuture.failedFuture(refusal);
        }
        link.wake();
        CompletableFuture<Void> result = new CompletableFuture<>();
        publish.answer.whenComplete((stored, failure) -> callbacks.execute(() -> {
            if (failure == null) {
                result.complete(null);
            } else {
                result.completeExceptionally(failure);
            }
        }));
        result.whenComplete((stored, failure) -> window.withdraw(publish));
        return result;
    }

    @Override
    public void publishAndWait(MqttServiceMessage message, Duration timeout) {
        long deadline = System.nanoTime() + timeout.toNanos();
        PublishWindow.Publish publish = null;
        try {
            publish = window.addBefore(deadline, encode(message));
            if (publish != null) {
                link.wake();
                publish.answer.get(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
                return;
            }
        } catch (TimeoutException e) {
            LOG.debug("no answer within {}", timeout);
        } catch (ExecutionException e) {
            throw ((MqttServiceException) e.getCause()).again();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            withdraw(publish);
            throw new MqttServiceException(MqttServiceException.INTERRUPTED, "interrupted", e);
        }
        withdraw(publish);
        throw new MqttServiceException(MqttServiceException.TIMEOUT, "no answer within " + timeout, null);
    }

    @Override
    public void reconnect() {
        window.accept();
        link.reconnect();
    }

    @Override
    public void close() {
        try {
            window.awaitEmpty(System.nanoTime() + patience.toNanos());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        window.close(new MqttServiceException(MqttServiceException.CLOSED, "the publisher is closed", null));
        link.close();
        callbacks.close(patience);
        onClose.accept(this);
    }

    private void withdraw(PublishWindow.Publish publish) {
        if (publish != null) {
            window.withdraw(publish);
        }
    }

    private static String encode(MqttServiceMessage message) {
        return Base64.getEncoder().encodeToString(AvroCodec.encode(message));
    }

    private final class Frames implements Link.User {
        @Override
        public void connected() {
            window.accept();
            window.rewind();
        }

        @Override
        public boolean received(String frame) {
            try {
                if (ErrorFrame.is(frame)) {
                    ErrorFrame error = ErrorFrame.parse(frame);
                    if (error.seq >= 0) {
                        window.answered(error.seq, error.exception());
                    } else {
                        callbacks.error(error.exception());
                    }
                } else {
                    window.answered(Long.parseLong(frame.trim()), null);
                }
            } catch (IllegalArgumentException e) {
                callbacks.error(new MqttServiceException(
                        MqttServiceException.MALFORMED_MESSAGE, "an answer that is none", e));
            }
            return true;
        }

        @Override
        public String next() {
            return window.next();
        }

        @Override
        public void disconnected() {
            // What has no answer stays in the window, and is sent again when there is a connection.
        }

        @Override
        public void stopped(MqttServiceException cause) {
            window.refuse(cause);
        }
    }
}
