package com.weirmq.sdk;

/**
 * Why something failed: a code for programs and a message for people.
 *
 * <p>What the server refuses has the server's code, {@code backlog_full} for example, of the list in Weir's
 * documentation. The codes that this library adds are the constants of this class.
 */
public class MqttServiceException extends RuntimeException {
    /** The server takes neither the token nor a new one (HTTP 401), and does not say more. */
    public static final String UNAUTHORIZED = "unauthorized";

    /** The user may not do this (HTTP 403), and the server does not say more. */
    public static final String FORBIDDEN = "forbidden";

    /** Another connection receives as this subscriber, which is not a shared one (HTTP 409). */
    public static final String SUBSCRIBER_IN_USE = "subscriber_in_use";

    /** The server answered with another HTTP status and did not say more; {@link #getStatus} has it. */
    public static final String UNEXPECTED_STATUS = "unexpected_status";

    /** No connection to the server could be made. */
    public static final String CONNECTION_FAILED = "connection_failed";

    /** The connection broke, or the server closed it. */
    public static final String CONNECTION_LOST = "connection_lost";

    /** The token API failed in a way of its own; the cause tells. */
    public static final String TOKEN_FAILED = "token_failed";

    /** As many publishes as the window takes wait for their answer. */
    public static final String WINDOW_FULL = "window_full";

    /** There was no answer in time. Whether the message was stored is unknown. */
    public static final String TIMEOUT = "timeout";

    /** The thread that waited for an answer was interrupted. Whether the message was stored is unknown. */
    public static final String INTERRUPTED = "interrupted";

    /** The publisher or subscriber was closed. */
    public static final String CLOSED = "closed";

    /** What the server sent is not a message of this protocol. */
    public static final String MALFORMED_MESSAGE = "malformed_message";

    /** What the server sent is larger than this library takes. */
    public static final String MESSAGE_TOO_LARGE = "message_too_large";

    private static final long serialVersionUID = 1;

    /** Why, for programs. */
    private final String code;
    /** Why, for people. */
    private final String reason;
    /** HTTP status; 0: none. */
    private final int status;

    /**
     * Makes an exception without an HTTP status.
     *
     * @param code why, for programs
     * @param message why, for people
     * @param cause null: none
     */
    public MqttServiceException(String code, String message, Throwable cause) {
        this(code, message, 0, cause);
    }

    /**
     * Makes an exception.
     *
     * @param code why, for programs
     * @param message why, for people
     * @param status the HTTP status; 0: none
     * @param cause null: none
     */
    public MqttServiceException(String code, String message, int status, Throwable cause) {
        super(code + ": " + message, cause);
        this.code = code;
        this.reason = message;
        this.status = status;
    }

    /**
     * Why, for programs.
     *
     * @return a constant of this class, or a reason of the server
     */
    public String getCode() {
        return code;
    }

    /**
     * Why, for people: the message without the code.
     *
     * @return never null
     */
    public String getReason() {
        return reason;
    }

    /**
     * The HTTP status with which the server refused a token or a connection.
     *
     * @return 0 where there was none
     */
    public int getStatus() {
        return status;
    }

    /**
     * Names a refusal by HTTP.
     *
     * @param status the status, which is not a success
     * @param body what came with it; null: that cannot be seen
     * @param cause null: none
     */
    static MqttServiceException ofStatus(int status, String body, Throwable cause) {
        if (body != null) {
            try {
                ErrorFrame error = ErrorFrame.parse(body);
                return new MqttServiceException(error.code, error.message, status, cause);
            } catch (IllegalArgumentException notFromWeir) {
                // A proxy between here and Weir has bodies of its own; the status says enough.
            }
        }
        return new MqttServiceException(
                codeOf(status), "the server answered with HTTP status " + status, status, cause);
    }

    private static String codeOf(int status) {
        switch (status) {
            case 401:
                return UNAUTHORIZED;
            case 403:
                return FORBIDDEN;
            case 409:
                return SUBSCRIBER_IN_USE;
            default:
                return UNEXPECTED_STATUS;
        }
    }

    /** The same for another caller, whose stack trace it has. */
    MqttServiceException again() {
        return new MqttServiceException(code, reason, status, this);
    }

    /** Tells whether the server said no for a reason that is the client's, and that waiting does not mend. */
    boolean isFinal() {
        return status >= 400 && status < 500 && status != 408 && status != 409 && status != 425 && status != 429;
    }
}
