package com.weirmq.sdk;

import java.net.URI;
import java.net.http.HttpResponse;
import java.net.http.WebSocketHandshakeException;
import java.time.Clock;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps one publisher or subscriber connected: gets tokens, opens a socket, and opens another when that one breaks.
 *
 * <p>One thread, the loop, owns all state; what comes from sockets, timers and callers is passed on to it. It runs no
 * code of the library's user but the token API.
 */
final class Link {
    /** The publisher or subscriber. Its methods run on the loop. */
    interface User {
        /** There is a connection, on which nothing has come yet. */
        void connected();

        /**
         * A frame came.
         *
         * @return whether the next one may come; otherwise {@link Link#resume} asks for it
         */
        boolean received(String frame);

        /** The next frame to send, or null: none for now. */
        String next();

        /** The connection is gone. */
        void disconnected();

        /** There is no connection, and there will be none until {@link Link#reconnect}. */
        void stopped(MqttServiceException cause);
    }

    private enum State {
        /** Not begun, or given up. */
        STOPPED,
        DIALING,
        OPEN,
        /** Between two attempts. */
        WAITING,
        /** Open, and closed as soon as there is nothing more to send. */
        CLOSING,
        CLOSED
    }

    private static final Logger LOG = LoggerFactory.getLogger(Link.class);

    private final Settings settings;
    private final String endpoint;
    private final TokenCache tokens;
    private final Callbacks callbacks;
    private final User user;
    private final ScheduledThreadPoolExecutor loop;
    private final CompletableFuture<Void> closed = new CompletableFuture<>();

    /** Set when close begins, for a loop that waits for the token API. */
    private volatile boolean closeAsked;

    // Owned by the loop.
    private State state = State.STOPPED;
    /** The connection that is there or being made. What another one reports is of no interest. Null in other states. */
    private Socket socket;
    private TokenCache.Token token;
    private ScheduledFuture<?> redial;
    private int attempts;
    private boolean everConnected;

    /**
     * Makes a link that is not connected yet.
     *
     * @param endpoint consumer or producer
     */
    Link(Settings settings, String endpoint, TokenRequest request, Callbacks callbacks, User user) {
        this.settings = settings;
        this.endpoint = endpoint;
        this.tokens = new TokenCache(settings.tokenApi, request, Clock.systemUTC());
        this.callbacks = callbacks;
        this.user = user;
        loop = new ScheduledThreadPoolExecutor(1, task -> {
            Thread thread = new Thread(task, "weir-loop " + request.getSubscription());
            thread.setDaemon(true);
            return thread;
        });
        loop.setRemoveOnCancelPolicy(true);
        loop.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
    }

    /** Connects; where there is a connection, drops it first. */
    void reconnect() {
        run(() -> {
            if (closeAsked) {
                return;
            }
            if (state == State.OPEN) {
                disconnected(lost("asked to connect again", null));
            } else if (state == State.DIALING) {
                drop();
            } else if (state == State.WAITING) {
                redial.cancel(false);
            }
            attempts = 0;
            dial();
        });
    }

    /** Looks whether the user has something to send. */
    void wake() {
        run(this::pump);
    }

    /** Lets the next frame come after {@link User#received} returned false. For the loop. */
    void resume() {
        if (socket != null) {
            socket.more();
        }
    }

    /**
     * Runs something on the loop.
     *
     * @return false: that has ended
     */
    boolean run(Runnable task) {
        try {
            loop.execute(guarded(task));
            return true;
        } catch (RejectedExecutionException afterClose) {
            return false;
        }
    }

    /** A task whose exceptions, which would be defects of this library or of the HTTP client, are seen. */
    private Runnable guarded(Runnable task) {
        return () -> {
            try {
                task.run();
            } catch (RuntimeException e) {
                LOG.error("the loop of {} failed", endpoint, e);
                callbacks.error(e);
            }
        };
    }

    /** Sends what is to be sent, closes the connection, waits for that, and ends the loop. */
    void close() {
        closeAsked = true;
        run(() -> {
            if (state == State.OPEN) {
                state = State.CLOSING;
                pump();
            } else if (state != State.CLOSING) {
                end();
            }
        });
        try {
            closed.get(settings.limits.close.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (TimeoutException | ExecutionException e) {
            LOG.debug("{} did not close in time", endpoint);
        }
        run(this::end);
        loop.shutdown();
    }

    /** Removes the subscriber on the server. */
    void unsubscribe() {
        tokens.unsubscribe();
    }

    private void dial() {
        state = State.DIALING;
        Socket dialed = new Socket(settings.limits, events);
        socket = dialed;
        try {
            token = tokens.get();
            URI uri = URI.create(settings.url + "/notification2/" + endpoint + "/?token=" + token.value);
            settings.client
                    .newWebSocketBuilder()
                    .connectTimeout(settings.limits.connect)
                    .buildAsync(uri, dialed)
                    .whenComplete((opened, failure) -> {
                        if (failure != null) {
                            run(() -> refused(dialed, failure));
                        }
                    });
        } catch (MqttServiceException e) {
            failed(e);
        } catch (RuntimeException e) {
            failed(new MqttServiceException(MqttServiceException.TOKEN_FAILED, "no token that can be used", e));
        }
    }

    /** The opening handshake failed. */
    private void refused(Socket dialed, Throwable failure) {
        if (dialed != socket) {
            return;
        }
        Throwable cause = failure instanceof CompletionException ? failure.getCause() : failure;
        if (!(cause instanceof WebSocketHandshakeException)) {
            failed(new MqttServiceException(MqttServiceException.CONNECTION_FAILED, "no connection: " + cause, cause));
            return;
        }
        HttpResponse<?> response = ((WebSocketHandshakeException) cause).getResponse();
        if (response.statusCode() == 401) {
            tokens.refused(token);
            if (!token.fresh) {
                dial();
                return;
            }
        }
        // The JDK lets us see the body from version 15 on.
        String body = response.body() instanceof String ? (String) response.body() : null;
        failed(MqttServiceException.ofStatus(response.statusCode(), body, cause));
    }

    /** An attempt to connect failed. */
    private void failed(MqttServiceException cause) {
        if (closeAsked) {
            end();
            return;
        }
        socket = null;
        callbacks.error(cause);
        again(cause, settings.reconnect.isEnabled() && (everConnected || !cause.isFinal()));
    }

    private void disconnected(MqttServiceException cause) {
        if (socket.age() >= settings.limits.stable.toNanos()) {
            attempts = 0;
        }
        drop();
        user.disconnected();
        callbacks.disconnected(cause);
    }

    /** Connects after a while, or not until asked to. */
    private void again(MqttServiceException cause, boolean automatically) {
        if (!automatically) {
            state = State.STOPPED;
            LOG.warn("the {} gives up: {}", endpoint, cause.getMessage());
            user.stopped(cause);
            return;
        }
        state = State.WAITING;
        long delay = settings.reconnect.delay(attempts, ThreadLocalRandom.current().nextDouble()).toMillis();
        attempts++;
        LOG.debug("{} connects again in {} ms: {}", endpoint, delay, cause.getMessage());
        redial = loop.schedule(guarded(this::dial), delay, TimeUnit.MILLISECONDS);
    }

    /** Sends what the user has to send, one frame at a time. For the loop. */
    void pump() {
        if (state != State.OPEN && state != State.CLOSING || !socket.maySend()) {
            return;
        }
        String frame = user.next();
        if (frame != null) {
            socket.send(frame);
        } else if (state == State.CLOSING) {
            socket.close();
        }
    }

    private void drop() {
        socket.abort();
        socket = null;
    }

    private void end() {
        if (state == State.WAITING) {
            redial.cancel(false);
        }
        if (socket != null) {
            drop();
        }
        state = State.CLOSED;
        closed.complete(null);
    }

    private static MqttServiceException lost(String why, Throwable cause) {
        return new MqttServiceException(MqttServiceException.CONNECTION_LOST, why, cause);
    }

    private final Socket.Events events = new Socket.Events() {
        @Override
        public boolean run(Runnable task) {
            return Link.this.run(task);
        }

        @Override
        public ScheduledFuture<?> every(long nanos, Runnable task) {
            return loop.scheduleAtFixedRate(guarded(task), nanos, nanos, TimeUnit.NANOSECONDS);
        }

        @Override
        public void opened(Socket opened) {
            if (opened != socket) {
                opened.abort();
                return;
            }
            state = State.OPEN;
            everConnected = true;
            opened.start();
            LOG.debug("{} connected", endpoint);
            user.connected();
            callbacks.connected();
            opened.more();
            pump();
        }

        @Override
        public void received(Socket from, String frame) {
            if (from != socket) {
                return;
            }
            if (frame == null) {
                callbacks.error(new MqttServiceException(
                        MqttServiceException.MESSAGE_TOO_LARGE,
                        "a frame of more than " + settings.limits.frame + " characters",
                        null));
                from.more();
            } else if (user.received(frame)) {
                from.more();
            } else {
                from.pause();
            }
        }

        @Override
        public void sent(Socket on) {
            if (on == socket) {
                pump();
            }
        }

        @Override
        public void lost(Socket lost, String why, Throwable cause) {
            if (lost != socket) {
                return;
            }
            if (state == State.CLOSING) {
                end();
                return;
            }
            MqttServiceException failure = Link.lost(why, cause);
            disconnected(failure);
            again(failure, settings.reconnect.isEnabled());
        }
    };
}
