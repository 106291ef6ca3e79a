package com.weirmq.sdk;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.stream.Stream;
import org.apache.avro.Schema;
import org.apache.avro.SchemaNormalization;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.reflect.ReflectData;
import org.apache.avro.reflect.ReflectDatumWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class AvroCodecTest {
    private static final Schema SCHEMA = ReflectData.get().getSchema(MqttServiceMessage.class);

    /** The schema of the wire, field by field, in Avro's canonical form. */
    private static final String DOCUMENTED = "{'name':'com.weirmq.sdk.MqttServiceMessage','type':'record','fields':["
            + "{'name':'metadata','type':{'name':'com.weirmq.sdk.MqttServiceMetadata','type':'record','fields':["
            + "{'name':'clientId','type':['null','string']},"
            + "{'name':'contentType','type':['null','string']},"
            + "{'name':'correlationData','type':['null','bytes']},"
            + "{'name':'dupFlag','type':'boolean'},"
            + "{'name':'messageId','type':'int'},"
            + "{'name':'payloadFormatIndicator','type':['null',{'name':'com.weirmq.sdk.PayloadFormatIndicator',"
            + "'type':'enum','symbols':['UNSPECIFIED','UTF_8']}]},"
            + "{'name':'responseTopic','type':['null','string']},"
            + "{'name':'topic','type':['null','string']},"
            + "{'name':'userProperties','type':['null',{'type':'map','values':'string'}]}]}},"
            + "{'name':'payload','type':'bytes'}]}";

    @Test
    void reflectionFindsTheDocumentedSchema() {
        assertEquals(DOCUMENTED.replace('\'', '"'), SchemaNormalization.toParsingForm(SCHEMA));
    }

    @Test
    void goldenBytes() {
        MqttServiceMessage test = message("message", MqttServiceMetadata.builder()
                .clientId("test").messageId(100).topic("topic"));
        assertEquals("Agh0ZXN0AAAAyAEAAAIKdG9waWMADm1lc3NhZ2U=", base64(test));

        MqttServiceMessage hello = message("Hello, world!", MqttServiceMetadata.builder());
        assertEquals("AAAAAAAAAAAAGkhlbGxvLCB3b3JsZCE=", base64(hello));
    }

    @ParameterizedTest
    @MethodSource("messages")
    void avroWritesTheSameBytes(MqttServiceMessage message) throws IOException {
        assertArrayEquals(avroBytes(message), AvroCodec.encode(message));
    }

    @ParameterizedTest
    @MethodSource("messages")
    void roundTrip(MqttServiceMessage message) {
        assertEquals(message, AvroCodec.decode(AvroCodec.encode(message)));
    }

    @ParameterizedTest
    @MethodSource("messages")
    void avroReadsWhatWasWritten(MqttServiceMessage message) throws IOException {
        GenericRecord read = new GenericDatumReader<GenericRecord>(SCHEMA)
                .read(null, DecoderFactory.get().binaryDecoder(AvroCodec.encode(message), null));
        MqttServiceMetadata want = message.getMetadata();
        GenericRecord metadata = (GenericRecord) read.get("metadata");
        assertEquals(ByteBuffer.wrap(message.getPayload()), read.get("payload"));
        assertEquals(want.getClientId(), text(metadata.get("clientId")));
        assertEquals(want.getContentType(), text(metadata.get("contentType")));
        assertEquals(want.getCorrelationData() == null ? null : ByteBuffer.wrap(want.getCorrelationData()),
                metadata.get("correlationData"));
        assertEquals(want.isDupFlag(), metadata.get("dupFlag"));
        assertEquals(want.getMessageId(), metadata.get("messageId"));
        assertEquals(Objects.toString(want.getPayloadFormatIndicator(), null),
                text(metadata.get("payloadFormatIndicator")));
        assertEquals(want.getResponseTopic(), text(metadata.get("responseTopic")));
        assertEquals(want.getTopic(), text(metadata.get("topic")));
        assertEquals(want.getUserProperties(), properties((Map<?, ?>) metadata.get("userProperties")));
    }

    @ParameterizedTest
    @MethodSource("messages")
    void everyStrictPrefixFails(MqttServiceMessage message) {
        byte[] whole = AvroCodec.encode(message);
        for (int size = 0; size < whole.length; size++) {
            byte[] prefix = Arrays.copyOf(whole, size);
            assertThrows(IllegalArgumentException.class, () -> AvroCodec.decode(prefix), "of " + size + " bytes");
        }
    }

    @Test
    void mapInBlocksThatTellTheirSize() throws IOException {
        Schema schema = SCHEMA.getField("metadata").schema();
        GenericRecord metadata = new GenericData.Record(schema);
        metadata.put("dupFlag", false);
        metadata.put("messageId", 0);
        Map<String, String> properties = new LinkedHashMap<>();
        for (int i = 0; i < 100; i++) {
            properties.put("name" + i, "a value of some length");
        }
        metadata.put("userProperties", properties);
        GenericRecord record = new GenericData.Record(SCHEMA);
        record.put("metadata", metadata);
        record.put("payload", ByteBuffer.wrap(new byte[] {1}));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        BinaryEncoder encoder = new EncoderFactory().configureBlockSize(64).blockingBinaryEncoder(out, null);
        new GenericDatumWriter<GenericRecord>(SCHEMA).write(record, encoder);
        encoder.flush();

        assertEquals(properties, AvroCodec.decode(out.toByteArray()).getMetadata().getUserProperties());
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "04", // a third branch of [null, string]
        "01", // branch -1
        "02 01", // a length of -1
        "02 feffffff0f", // a length of 2^31-1
        "02 feffffffffffffffff01", // a length of 2^63-1
        "02 ffffffffffffffffff01", // a length of -2^63
        "02 ffffffffffffffffff02", // more than 64 bits
        "02 ffffffffffffffffffff01", // more than ten bytes
        "00 00 00 02", // dupFlag is 2
        "00 00 00 00 8080808010", // messageId is 2^31
        "00 00 00 00 00 02 04", // a third payload format
        "00 00 00 00 00 02 01", // payload format -1
        "00 00 00 00 00 00 00 00 02 02 00", // a map whose only entry has no value
        "00 00 00 00 00 00 00 00 02 feffffffffffffffff01", // a map of 2^63-1 entries
        "00 00 00 00 00 00 00 00 02 ffffffffffffffffff01 00", // a block of -2^63 entries
        "00 00 00 00 00 00 00 00 00 feffffff0f", // a payload of 2^31-1 bytes
        "00 00 00 00 00 00 00 00 00 00 00", // a byte too many
    })
    void whatIsNoMessageIsRefusedWithoutAllocation(String hex) {
        byte[] bytes = bytes(hex);
        IllegalArgumentException refusal =
                assertThrows(IllegalArgumentException.class, () -> AvroCodec.decode(bytes));
        assertTrue(refusal.getMessage().length() < 100, refusal.getMessage());
    }

    @Test
    void damagedBytesNeverFailInAnotherWay() {
        Random random = new Random(1);
        byte[] whole = AvroCodec.encode(full());
        for (int round = 0; round < 20_000; round++) {
            byte[] damaged = whole.clone();
            for (int i = random.nextInt(4); i >= 0; i--) {
                damaged[random.nextInt(damaged.length)] = (byte) random.nextInt(256);
            }
            try {
                MqttServiceMessage message = AvroCodec.decode(damaged);
                assertEquals(message, AvroCodec.decode(AvroCodec.encode(message)));
            } catch (IllegalArgumentException expected) {
                assertTrue(expected.getMessage().length() > 0);
            }
        }
    }

    @Test
    void absentIsNotEmpty() {
        MqttServiceMetadata absent = AvroCodec.decode(AvroCodec.encode(message("", MqttServiceMetadata.builder())))
                .getMetadata();
        assertNull(absent.getClientId());
        assertNull(absent.getUserProperties());
        MqttServiceMetadata empty = AvroCodec.decode(AvroCodec.encode(
                message("", MqttServiceMetadata.builder().clientId("").userProperties(Map.of())))).getMetadata();
        assertEquals("", empty.getClientId());
        assertEquals(Map.of(), empty.getUserProperties());
    }

    static Stream<MqttServiceMessage> messages() {
        return Stream.of(
                MqttServiceMessage.builder().build(),
                full(),
                message("x".repeat(1_000), MqttServiceMetadata.builder().topic("more than there is é😀".repeat(50))),
                message("", MqttServiceMetadata.builder().clientId("").contentType("").responseTopic("").topic("")
                        .correlationData(new byte[0]).userProperties(Map.of())
                        .payloadFormatIndicator(PayloadFormatIndicator.UNSPECIFIED)),
                message("a", MqttServiceMetadata.builder().messageId(Integer.MIN_VALUE)),
                message("a", MqttServiceMetadata.builder().messageId(Integer.MAX_VALUE)));
    }

    private static MqttServiceMessage full() {
        Map<String, String> properties = new LinkedHashMap<>();
        properties.put("z", "first");
        properties.put("a", "second");
        properties.put("", "");
        return message("21.5", MqttServiceMetadata.builder()
                .clientId("thermostat-7")
                .contentType("text/plain")
                .correlationData(new byte[] {0, (byte) 0xFF, 10})
                .dupFlag(true)
                .messageId(65535)
                .payloadFormatIndicator(PayloadFormatIndicator.UTF_8)
                .responseTopic("answers/7")
                .topic("sensors/room 1/temp")
                .userProperties(properties));
    }

    private static MqttServiceMessage message(String payload, MqttServiceMetadata.Builder metadata) {
        return MqttServiceMessage.builder()
                .payload(payload.getBytes(StandardCharsets.UTF_8))
                .metadata(metadata.build())
                .build();
    }

    private static byte[] avroBytes(MqttServiceMessage message) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(out, null);
        new ReflectDatumWriter<>(MqttServiceMessage.class).write(message, encoder);
        encoder.flush();
        return out.toByteArray();
    }

    private static String base64(MqttServiceMessage message) {
        return Base64.getEncoder().encodeToString(AvroCodec.encode(message));
    }

    /** Avro has strings of its own. */
    private static Map<String, String> properties(Map<?, ?> map) {
        if (map == null) {
            return null;
        }
        Map<String, String> properties = new HashMap<>();
        map.forEach((name, value) -> properties.put(name.toString(), value.toString()));
        return properties;
    }

    private static String text(Object value) {
        return Objects.toString(value, null);
    }

    private static byte[] bytes(String hex) {
        String digits = hex.replace(" ", "");
        byte[] bytes = new byte[digits.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(digits.substring(2 * i, 2 * i + 2), 16);
        }
        return bytes;
    }
}
