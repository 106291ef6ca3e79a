package com.weirmq.sdk;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A message in Avro's binary encoding: the bare record, without container or fingerprint, its fields in alphabetical
 * order. Optional fields are unions of null, branch 0, and the value, branch 1.
 */
final class AvroCodec {
    private AvroCodec() {}

    static byte[] encode(MqttServiceMessage message) {
        MqttServiceMetadata metadata = message.getMetadata();
        Writer out = new Writer(message.getPayload().length + 128);
        out.optional(metadata.getClientId());
        out.optional(metadata.getContentType());
        out.optional(metadata.getCorrelationData());
        out.bool(metadata.isDupFlag());
        out.varint(metadata.getMessageId());
        PayloadFormatIndicator format = metadata.getPayloadFormatIndicator();
        if (out.branch(format)) {
            out.varint(format.ordinal());
        }
        out.optional(metadata.getResponseTopic());
        out.optional(metadata.getTopic());
        Map<String, String> properties = metadata.getUserProperties();
        if (out.branch(properties)) {
            out.map(properties);
        }
        out.bytes(message.getPayload());
        return out.result();
    }

    /**
     * Decodes exactly one message.
     *
     * @throws IllegalArgumentException for anything else
     */
    static MqttServiceMessage decode(byte[] bytes) {
        Reader in = new Reader(bytes);
        MqttServiceMetadata.Builder metadata = MqttServiceMetadata.builder();
        if (in.branch()) {
            metadata.clientId(in.string());
        }
        if (in.branch()) {
            metadata.contentType(in.string());
        }
        if (in.branch()) {
            metadata.correlationData(in.bytes());
        }
        metadata.dupFlag(in.bool());
        metadata.messageId(in.integer());
        if (in.branch()) {
            metadata.payloadFormatIndicator(in.format());
        }
        if (in.branch()) {
            metadata.responseTopic(in.string());
        }
        if (in.branch()) {
            metadata.topic(in.string());
        }
        if (in.branch()) {
            metadata.userProperties(in.map());
        }
        byte[] payload = in.bytes();
        in.end();
        return MqttServiceMessage.builder().metadata(metadata.build()).payload(payload).build();
    }

    /** Appends to a buffer that grows. */
    private static final class Writer {
        private byte[] buffer;
        private int length;

        Writer(int capacity) {
            buffer = new byte[capacity];
        }

        byte[] result() {
            return Arrays.copyOf(buffer, length);
        }

        /** Writes which branch of the union follows, and tells whether there is a value to write. */
        boolean branch(Object value) {
            varint(value == null ? 0 : 1);
            return value != null;
        }

        void optional(String value) {
            if (branch(value)) {
                string(value);
            }
        }

        void optional(byte[] value) {
            if (branch(value)) {
                bytes(value);
            }
        }

        void bool(boolean value) {
            room(1);
            buffer[length++] = (byte) (value ? 1 : 0);
        }

        /** Zigzag, then seven bits a byte, the lowest first. */
        void varint(long value) {
            room(10);
            long rest = value << 1 ^ value >> 63;
            while ((rest & ~0x7FL) != 0) {
                buffer[length++] = (byte) (rest | 0x80);
                rest >>>= 7;
            }
            buffer[length++] = (byte) rest;
        }

        void string(String value) {
            bytes(value.getBytes(StandardCharsets.UTF_8));
        }

        void bytes(byte[] value) {
            varint(value.length);
            room(value.length);
            System.arraycopy(value, 0, buffer, length, value.length);
            length += value.length;
        }

        /** Blocks of a count and so many entries; a count of zero ends them. */
        void map(Map<String, String> map) {
            if (!map.isEmpty()) {
                varint(map.size());
                map.forEach((name, value) -> {
                    string(name);
                    string(value);
                });
            }
            varint(0);
        }

        private void room(int bytes) {
            int needed = Math.addExact(length, bytes);
            if (needed > buffer.length) {
                buffer = Arrays.copyOf(buffer, Math.max(needed, buffer.length + (buffer.length >> 1)));
            }
        }
    }

    /** Reads from the front. No length is believed before so many bytes are there. */
    private static final class Reader {
        private final byte[] buffer;
        private int at;

        Reader(byte[] buffer) {
            this.buffer = buffer;
        }

        void end() {
            if (at != buffer.length) {
                throw new IllegalArgumentException(remaining() + " bytes after the message");
            }
        }

        boolean branch() {
            long branch = varint();
            if (branch != 0 && branch != 1) {
                throw new IllegalArgumentException("a union has no branch " + branch);
            }
            return branch == 1;
        }

        boolean bool() {
            byte value = octet();
            if (value != 0 && value != 1) {
                throw new IllegalArgumentException("boolean is " + value);
            }
            return value == 1;
        }

        int integer() {
            long value = varint();
            if (value != (int) value) {
                throw new IllegalArgumentException("integer out of range");
            }
            return (int) value;
        }

        PayloadFormatIndicator format() {
            long index = varint();
            PayloadFormatIndicator[] all = PayloadFormatIndicator.values();
            if (index < 0 || index >= all.length) {
                throw new IllegalArgumentException("there is no payload format " + index);
            }
            return all[(int) index];
        }

        String string() {
            int size = size();
            String value = new String(buffer, at, size, StandardCharsets.UTF_8);
            at += size;
            return value;
        }

        byte[] bytes() {
            int size = size();
            byte[] value = Arrays.copyOfRange(buffer, at, at + size);
            at += size;
            return value;
        }

        Map<String, String> map() {
            Map<String, String> map = new LinkedHashMap<>();
            for (long count = varint(); count != 0; count = varint()) {
                if (count < 0) {
                    // The size of the block in bytes follows, for readers that skip it.
                    count = -count;
                    varint();
                }
                // An entry has two bytes at least.
                if (count < 0 || count > remaining() / 2) {
                    throw new IllegalArgumentException("a map of more entries than there are bytes");
                }
                for (; count > 0; count--) {
                    String name = string();
                    map.put(name, string());
                }
            }
            return map;
        }

        private int size() {
            long size = varint();
            if (size < 0 || size > remaining()) {
                throw new IllegalArgumentException("a length of " + size + " with " + remaining() + " bytes left");
            }
            return (int) size;
        }

        private long varint() {
            long bits = 0;
            for (int shift = 0; shift < 64; shift += 7) {
                byte next = octet();
                if (shift == 63 && next > 1) {
                    break;
                }
                bits |= (long) (next & 0x7F) << shift;
                if (next >= 0) {
                    return bits >>> 1 ^ -(bits & 1);
                }
            }
            throw new IllegalArgumentException("a number of more than 64 bits");
        }

        private byte octet() {
            if (at == buffer.length) {
                throw new IllegalArgumentException("the message ends too early");
            }
            return buffer[at++];
        }

        private int remaining() {
            return buffer.length - at;
        }
    }
}
