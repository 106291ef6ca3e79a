package com.weirmq.sdk;

import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** The server's end of one WebSocket. */
final class TestPeer {
    private static final int CONTINUATION = 0;
    private static final int TEXT = 1;
    private static final int CLOSE = 8;
    private static final int PING = 9;
    private static final int PONG = 10;

    private final java.net.Socket socket;
    private final DataInputStream in;
    private final BlockingQueue<String> texts = new LinkedBlockingQueue<>();
    private final BlockingQueue<String> pongs = new LinkedBlockingQueue<>();
    private final BlockingQueue<Integer> closes = new LinkedBlockingQueue<>();
    private volatile boolean deaf;

    TestPeer(java.net.Socket socket, InputStream in) {
        this.socket = socket;
        this.in = new DataInputStream(in);
    }

    /** The next text frame that the client sent. */
    String text() throws InterruptedException {
        return TestServer.take(texts, "text frame");
    }

    boolean hasText() {
        return !texts.isEmpty();
    }

    /** Pings, and waits for the answer. */
    void ping() throws IOException, InterruptedException {
        frame(PING, true, new byte[0]);
        TestServer.take(pongs, "pong");
    }

    /** Pings, and tells whether an answer came in a short time. */
    boolean pongsWithin(long millis) throws IOException, InterruptedException {
        frame(PING, true, new byte[0]);
        return pongs.poll(millis, TimeUnit.MILLISECONDS) != null;
    }

    /** The code with which the client closes. */
    int closeCode() throws InterruptedException {
        return TestServer.take(closes, "close frame");
    }

    /** Answers no pings any more. */
    void deafen() {
        deaf = true;
    }

    void send(String text) throws IOException {
        frame(TEXT, true, text.getBytes(StandardCharsets.UTF_8));
    }

    /** Sends one text in several frames of so many bytes. */
    void sendSplit(String text, int size) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        for (int at = 0; at < bytes.length; at += size) {
            byte[] part = java.util.Arrays.copyOfRange(bytes, at, Math.min(at + size, bytes.length));
            frame(at == 0 ? TEXT : CONTINUATION, at + size >= bytes.length, part);
        }
    }

    /** Sends a message to a consumer. */
    void deliver(String ack, String payload) throws IOException {
        send(ack + "\n" + encoded(payload));
    }

    static String encoded(String payload) {
        MqttServiceMessage message = MqttServiceMessage.builder()
                .payload(payload.getBytes(StandardCharsets.UTF_8))
                .build();
        return Base64.getEncoder().encodeToString(AvroCodec.encode(message));
    }

    void close(int code, String reason) throws IOException {
        byte[] text = reason.getBytes(StandardCharsets.UTF_8);
        frame(CLOSE, true, ByteBuffer.allocate(2 + text.length).putShort((short) code).put(text).array());
    }

    /** Breaks the connection. */
    void cut() throws IOException {
        socket.setSoLinger(true, 0);
        socket.close();
    }

    private synchronized void frame(int opcode, boolean last, byte[] payload) throws IOException {
        ByteBuffer frame = ByteBuffer.allocate(payload.length + 10);
        frame.put((byte) ((last ? 0x80 : 0) | opcode));
        if (payload.length < 126) {
            frame.put((byte) payload.length);
        } else if (payload.length < 1 << 16) {
            frame.put((byte) 126).putShort((short) payload.length);
        } else {
            frame.put((byte) 127).putLong(payload.length);
        }
        frame.put(payload);
        OutputStream out = socket.getOutputStream();
        out.write(frame.array(), 0, frame.position());
        out.flush();
    }

    /** Reads until the client has closed. */
    void read() throws IOException {
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        while (true) {
            int first = in.readUnsignedByte();
            byte[] payload = payload();
            switch (first & 0x0F) {
                case TEXT:
                case CONTINUATION:
                    text.writeBytes(payload);
                    if ((first & 0x80) != 0) {
                        texts.add(text.toString(StandardCharsets.UTF_8));
                        text.reset();
                    }
                    break;
                case PING:
                    if (!deaf) {
                        frame(PONG, true, payload);
                    }
                    break;
                case PONG:
                    pongs.add(new String(payload, StandardCharsets.UTF_8));
                    break;
                case CLOSE:
                    closes.add(payload.length < 2 ? 1005 : (int) ByteBuffer.wrap(payload).getShort());
                    frame(CLOSE, true, payload);
                    return;
                default:
                    throw new IOException("opcode " + first);
            }
        }
    }

    private byte[] payload() throws IOException {
        int second = in.readUnsignedByte();
        long length = second & 0x7F;
        if (length == 126) {
            length = in.readUnsignedShort();
        } else if (length == 127) {
            length = in.readLong();
        }
        byte[] mask = in.readNBytes(4);
        byte[] payload = in.readNBytes((int) length);
        for (int i = 0; i < payload.length; i++) {
            payload[i] ^= mask[i % 4];
        }
        return payload;
    }
}
