package com.weirmq.sdk;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;

/** The publishes that have no answer yet, in their order. Bounded; safe for several threads. */
final class PublishWindow {
    /** One publish. */
    static final class Publish {
        /** Completed by the server's answer, on any thread. */
        final CompletableFuture<Void> answer = new CompletableFuture<>();

        private final long seq;
        private final String frame;

        private Publish(long seq, String frame) {
            this.seq = seq;
            this.frame = frame;
        }
    }

    private final int maxMessages;
    private final long maxSize;

    // Guarded by this.
    private final Map<Long, Publish> unanswered = new LinkedHashMap<>();
    /** What the connection of the day has not been given yet; some of it may not be unanswered any more. */
    private Queue<Publish> unsent = new ArrayDeque<>();
    private long size;
    private long lastSeq;
    /** Why nothing is taken; null: it is. */
    private MqttServiceException refusal;
    private boolean closed;

    PublishWindow(int maxMessages, long maxSize) {
        this.maxMessages = maxMessages;
        this.maxSize = maxSize;
    }

    /**
     * Takes a message in, if there is room. A message that is larger than the whole window has room in an empty one.
     *
     * @throws MqttServiceException with the code window_full, or for the reason given to {@link #refuse}
     */
    synchronized Publish add(String body) {
        if (refusal != null) {
            throw refusal.again();
        }
        if (!hasRoom(body)) {
            throw new MqttServiceException(
                    MqttServiceException.WINDOW_FULL, unanswered.size() + " publishes have no answer yet", null);
        }
        long seq = ++lastSeq;
        Publish publish = new Publish(seq, seq + "\n" + body);
        unanswered.put(seq, publish);
        unsent.add(publish);
        size += publish.frame.length();
        return publish;
    }

    /** Does as {@link #add}, but waits for room. Returns null when there was none by then, in System.nanoTime. */
    synchronized Publish addBefore(long deadline, String body) throws InterruptedException {
        while (refusal == null && !hasRoom(body)) {
            long millis = (deadline - System.nanoTime()) / 1_000_000;
            if (millis <= 0) {
                return null;
            }
            wait(millis);
        }
        return add(body);
    }

    /** The frame to send next, or null. */
    synchronized String next() {
        Publish publish;
        do {
            publish = unsent.poll();
        } while (publish != null && !unanswered.containsKey(publish.seq));
        return publish == null ? null : publish.frame;
    }

    /** Has everything that is unanswered sent again: on another connection. */
    synchronized void rewind() {
        unsent = new ArrayDeque<>(unanswered.values());
    }

    /** Answers a publish, if it still waits for that; failure null: it is stored. */
    void answered(long seq, MqttServiceException failure) {
        Publish publish = remove(seq);
        if (publish != null) {
            complete(publish, failure);
        }
    }

    /** Forgets a publish that nobody waits for. It is not sent any more, if it was not yet. */
    void withdraw(Publish publish) {
        remove(publish.seq);
    }

    /** Fails all publishes and those that follow, until {@link #accept}. */
    void refuse(MqttServiceException cause) {
        List<Publish> failed;
        synchronized (this) {
            refusal = cause;
            failed = new ArrayList<>(unanswered.values());
            unanswered.clear();
            unsent.clear();
            size = 0;
            notifyAll();
        }
        failed.forEach(publish -> complete(publish, cause));
    }

    /** Takes messages again, unless the window is closed. */
    synchronized void accept() {
        if (!closed) {
            refusal = null;
        }
    }

    /** Fails all publishes and those that follow. */
    void close(MqttServiceException cause) {
        synchronized (this) {
            closed = true;
        }
        refuse(cause);
    }

    /** Waits until everything is answered, or until then, in System.nanoTime. */
    synchronized void awaitEmpty(long deadline) throws InterruptedException {
        while (!unanswered.isEmpty()) {
            long millis = (deadline - System.nanoTime()) / 1_000_000;
            if (millis <= 0) {
                return;
            }
            wait(millis);
        }
    }

    private boolean hasRoom(String body) {
        return unanswered.isEmpty() || unanswered.size() < maxMessages && size + body.length() <= maxSize;
    }

    private synchronized Publish remove(long seq) {
        Publish publish = unanswered.remove(seq);
        if (publish != null) {
            size -= publish.frame.length();
            notifyAll();
        }
        return publish;
    }

    private static void complete(Publish publish, MqttServiceException failure) {
        if (failure == null) {
            publish.answer.complete(null);
        } else {
            publish.answer.completeExceptionally(failure);
        }
    }
}
