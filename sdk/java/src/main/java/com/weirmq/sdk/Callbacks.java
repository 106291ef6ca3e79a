package com.weirmq.sdk;

import java.time.Duration;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The thread on which a publisher's or subscriber's user is called. Safe for several threads. */
final class Callbacks implements Executor {
    /** Events that wait for a user that is busy. More are only logged. */
    private static final int MAX_EVENTS = 1_000;

    private static final Logger LOG = LoggerFactory.getLogger(Callbacks.class);

    private final ConnectionListener listener;
    private final ThreadPoolExecutor executor;
    private final AtomicInteger events = new AtomicInteger();
    private volatile Thread thread;

    /**
     * Makes the thread, which starts when there is something to run.
     *
     * @param daemon whether the JVM may end while the thread lives
     */
    Callbacks(String name, boolean daemon, ConnectionListener listener) {
        this.listener = listener;
        // The queue is bounded by what comes in: messages held, publishes in the window, and events.
        executor = new ThreadPoolExecutor(1, 1, 1, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), task -> {
            thread = new Thread(task, name);
            thread.setDaemon(daemon);
            return thread;
        });
    }

    /** Keeps the thread alive, and with it the JVM if it is no daemon, while there is nothing to run. */
    void stay() {
        executor.allowCoreThreadTimeOut(false);
        executor.prestartCoreThread();
    }

    /** Lets the thread end when there is nothing more to run. It starts again when there is. */
    void leave() {
        executor.allowCoreThreadTimeOut(true);
    }

    /** Runs a task on the thread; on the caller's, once that has ended. */
    @Override
    public void execute(Runnable task) {
        try {
            executor.execute(task);
        } catch (RejectedExecutionException afterClose) {
            task.run();
        }
    }

    void connected() {
        event(listener::onConnected);
    }

    void disconnected(MqttServiceException cause) {
        event(() -> listener.onDisconnected(cause));
    }

    void error(Throwable error) {
        LOG.warn("{}", error.toString());
        LOG.debug("which came from", error);
        event(() -> listener.onError(error));
    }

    /** Runs what waits, and ends. Waits for that, unless this is called on the thread itself. */
    void close(Duration patience) {
        executor.shutdown();
        if (Thread.currentThread() == thread) {
            return;
        }
        try {
            if (!executor.awaitTermination(patience.toMillis(), TimeUnit.MILLISECONDS)) {
                LOG.debug("a callback takes longer than {}", patience);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void event(Runnable event) {
        if (events.incrementAndGet() > MAX_EVENTS) {
            events.decrementAndGet();
            LOG.warn("a callback is busy for so long that events are dropped");
            return;
        }
        try {
            executor.execute(() -> {
                events.decrementAndGet();
                try {
                    event.run();
                } catch (RuntimeException e) {
                    LOG.warn("the connection listener threw", e);
                }
            });
        } catch (RejectedExecutionException afterClose) {
            LOG.trace("nobody is told after close", afterClose);
        }
    }
}
