package com.weirmq.sdk;

import java.util.ArrayDeque;
import java.util.Base64;
import java.util.Objects;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** A subscriber: the frames it gets are an acknowledgement, a newline and a message; it sends the acknowledgement. */
final class WebSocketSubscriber implements MqttSubscriber {
    /** A message that was received and not acknowledged yet. */
    private static final class Held {
        /** The connection on which it came, and on which alone it can be acknowledged. */
        final Object connection;

        /** The acknowledgement; empty: none is wanted. */
        final String ack;

        final String body;

        Held(Object connection, String frame) {
            this.connection = connection;
            int newline = frame.indexOf('\n');
            ack = newline < 0 ? "" : frame.substring(0, newline);
            body = frame.substring(newline + 1);
        }

        int size() {
            return ack.length() + body.length();
        }
    }

    private final Settings.Limits limits;
    private final Consumer<MqttSubscriber> onClose;
    private final Callbacks callbacks;
    private final Link link;
    private final CompletableFuture<Void> connected = new CompletableFuture<>();

    /** Set once, before the first connection. */
    private volatile MessageListener listener;

    /** Stands for the connection of the day. What another one brought is not delivered any more: it comes again. */
    private volatile Object connection = new Object();

    private volatile boolean closed;

    // Owned by the link's loop.
    private final Queue<Held> acks = new ArrayDeque<>();
    private int heldMessages;
    private long heldSize;
    private boolean paused;

    WebSocketSubscriber(Settings settings, SubscriberConfig config, Consumer<MqttSubscriber> onClose) {
        limits = settings.limits;
        this.onClose = onClose;
        callbacks = new Callbacks("weir-subscriber " + config.getSubscriber(), false, config.getConnectionListener());
        TokenRequest request = new TokenRequest(
                config.getSubscriber(),
                config.getTopic(),
                config.getExpiresInMinutes(),
                config.isShared(),
                config.isNonPersistent());
        link = new Link(settings, "consumer", request, callbacks, new Frames());
    }

    @Override
    public synchronized CompletableFuture<Void> subscribe(MessageListener messageListener) {
        Objects.requireNonNull(messageListener, "listener");
        if (listener != null) {
            throw new IllegalStateException("subscribed already");
        }
        listener = messageListener;
        callbacks.stay();
        link.reconnect();
        return connected;
    }

    @Override
    public synchronized void reconnect() {
        if (listener == null) {
            throw new IllegalStateException("not subscribed");
        }
        callbacks.stay();
        link.reconnect();
    }

    @Override
    public void unsubscribe() {
        close();
        link.unsubscribe();
    }

    @Override
    public void close() {
        closed = true;
        // First the listener that is at work, so that its message can be acknowledged.
        callbacks.close(limits.close);
        link.close();
        connected.completeExceptionally(
                new MqttServiceException(MqttServiceException.CLOSED, "the subscriber is closed", null));
        onClose.accept(this);
    }

    /** On the callback thread. */
    private void deliver(Held held) {
        if (closed || held.connection != connection) {
            return;
        }
        boolean handled = false;
        try {
            listener.onMessage(decode(held.body));
            handled = true;
        } catch (Throwable e) {
            // An Error, too: the thread is not the listener's to end.
            callbacks.error(e);
        }
        boolean acknowledged = handled && !held.ack.isEmpty();
        link.run(() -> delivered(held, acknowledged));
    }

    private static MqttServiceMessage decode(String body) {
        try {
            return AvroCodec.decode(Base64.getDecoder().decode(body));
        } catch (IllegalArgumentException e) {
            throw new MqttServiceException(MqttServiceException.MALFORMED_MESSAGE, e.getMessage(), e);
        }
    }

    /** On the loop. */
    private void delivered(Held held, boolean acknowledged) {
        if (held.connection != connection) {
            return;
        }
        if (acknowledged) {
            acks.add(held);
            link.pump();
        } else {
            release(held);
        }
    }

    /** On the loop. */
    private void release(Held held) {
        heldMessages--;
        heldSize -= held.size();
        if (paused && hasRoom()) {
            paused = false;
            link.resume();
        }
    }

    private boolean hasRoom() {
        return heldMessages < limits.heldMessages && heldSize < limits.heldSize;
    }

    private final class Frames implements Link.User {
        @Override
        public void connected() {
            callbacks.execute(() -> connected.complete(null));
        }

        @Override
        public boolean received(String frame) {
            if (ErrorFrame.is(frame)) {
                error(frame);
                return true;
            }
            Held held = new Held(connection, frame);
            heldMessages++;
            heldSize += held.size();
            callbacks.execute(() -> deliver(held));
            paused = !hasRoom();
            return !paused;
        }

        private void error(String frame) {
            try {
                callbacks.error(ErrorFrame.parse(frame).exception());
            } catch (IllegalArgumentException e) {
                callbacks.error(new MqttServiceException(
                        MqttServiceException.MALFORMED_MESSAGE, "neither a message nor an error", e));
            }
        }

        @Override
        public String next() {
            Held held = acks.poll();
            if (held == null) {
                return null;
            }
            release(held);
            return held.ack;
        }

        @Override
        public void disconnected() {
            connection = new Object();
            acks.clear();
            heldMessages = 0;
            heldSize = 0;
            paused = false;
        }

        @Override
        public void stopped(MqttServiceException cause) {
            callbacks.execute(() -> connected.completeExceptionally(cause));
            callbacks.leave();
        }
    }
}
