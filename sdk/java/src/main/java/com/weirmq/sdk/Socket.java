package com.weirmq.sdk;

import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/**
 * One WebSocket from its opening to its end. The methods of its listener run on threads of the HTTP client, one after
 * the other, and pass everything on to the loop; all other methods are for the loop.
 */
final class Socket implements WebSocket.Listener {
    /** Who wants to know. All but {@link #run} is called on the loop. */
    interface Events {
        /** Passes something on to the loop. Returns false where that has ended. */
        boolean run(Runnable task);

        /** Lets the loop do something at regular intervals. */
        ScheduledFuture<?> every(long nanos, Runnable task);

        void opened(Socket socket);

        /** A whole frame came, null: one that is too large. The next one comes after {@link Socket#more}. */
        void received(Socket socket, String frame);

        /** What was to be sent is, and the next may be. */
        void sent(Socket socket);

        /** The connection is closed or broken. */
        void lost(Socket socket, String why, Throwable cause);
    }

    private final Settings.Limits limits;
    private final Events events;

    // Owned by whoever calls the listener: one thread at a time.
    private final StringBuilder partial = new StringBuilder();
    private boolean tooLarge;

    /** When something came last, System.nanoTime. */
    private volatile long heardAt;

    // Owned by the loop.
    private WebSocket webSocket;
    private long openedAt;
    private boolean reading;
    private boolean sending;
    private boolean closing;
    private ScheduledFuture<?> heartbeat;
    private long pingedAt;
    private CompletableFuture<WebSocket> ping = CompletableFuture.completedFuture(null);

    Socket(Settings.Limits limits, Events events) {
        this.limits = limits;
        this.events = events;
    }

    /** Takes up a connection that was opened: pings from now on. Reads nothing before {@link #more}. */
    void start() {
        openedAt = System.nanoTime();
        pingedAt = openedAt;
        heartbeat = events.every(limits.pong.minus(limits.ping).toNanos(), this::beat);
    }

    /** How long the connection has been there, in nanoseconds. */
    long age() {
        return System.nanoTime() - openedAt;
    }

    /** Lets one more frame come. While none may, pongs are not seen either, and their absence means nothing. */
    void more() {
        if (!reading) {
            heardAt = System.nanoTime();
            reading = true;
        }
        webSocket.request(1);
    }

    /** Notes that no frame may come until {@link #more}. */
    void pause() {
        reading = false;
    }

    boolean maySend() {
        return !sending && !closing;
    }

    void send(String frame) {
        sending = true;
        webSocket.sendText(frame, true).whenComplete((sent, failure) -> events.run(() -> {
            sending = false;
            if (failure == null) {
                events.sent(this);
            } else {
                events.lost(this, "a frame could not be sent", failure);
            }
        }));
    }

    /** Says that nothing more will be sent; the server closes. */
    void close() {
        closing = true;
        if (!reading) {
            more();
        }
        webSocket.sendClose(WebSocket.NORMAL_CLOSURE, "");
    }

    /** Ends the connection without a word, if there is one. */
    void abort() {
        if (heartbeat != null) {
            heartbeat.cancel(false);
        }
        if (webSocket != null) {
            webSocket.abort();
        }
    }

    private void beat() {
        long now = System.nanoTime();
        if (reading && now - heardAt > limits.pong.toNanos()) {
            events.lost(this, "nothing came for " + TimeUnit.NANOSECONDS.toSeconds(now - heardAt) + " s", null);
        } else if (now - pingedAt >= limits.ping.toNanos() && ping.isDone() && !closing) {
            pingedAt = now;
            ping = webSocket.sendPing(ByteBuffer.allocate(0));
        }
    }

    @Override
    public void onOpen(WebSocket opened) {
        heardAt = System.nanoTime();
        boolean taken = events.run(() -> {
            webSocket = opened;
            events.opened(this);
        });
        if (!taken) {
            opened.abort();
        }
    }

    @Override
    public CompletionStage<?> onText(WebSocket from, CharSequence data, boolean last) {
        heardAt = System.nanoTime();
        tooLarge |= partial.length() + data.length() > limits.frame;
        if (!last) {
            if (tooLarge) {
                partial.setLength(0);
            } else {
                partial.append(data);
            }
            from.request(1);
            return null;
        }
        String frame = tooLarge ? null : partial.length() == 0 ? data.toString() : partial.append(data).toString();
        partial.setLength(0);
        partial.trimToSize();
        tooLarge = false;
        events.run(() -> events.received(this, frame));
        return null;
    }

    @Override
    public CompletionStage<?> onBinary(WebSocket from, ByteBuffer data, boolean last) {
        return passOver(from);
    }

    @Override
    public CompletionStage<?> onPing(WebSocket from, ByteBuffer data) {
        return passOver(from);
    }

    @Override
    public CompletionStage<?> onPong(WebSocket from, ByteBuffer data) {
        return passOver(from);
    }

    /** What is of no further interest makes room for another frame. */
    private CompletionStage<?> passOver(WebSocket from) {
        heardAt = System.nanoTime();
        from.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onClose(WebSocket from, int code, String reason) {
        String why = "closed by the server (" + code + ")" + (reason.isEmpty() ? "" : " " + reason);
        events.run(() -> events.lost(this, why, null));
        return null;
    }

    @Override
    public void onError(WebSocket from, Throwable failure) {
        events.run(() -> events.lost(this, "the connection broke", failure));
    }
}
