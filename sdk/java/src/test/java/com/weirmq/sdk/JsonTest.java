package com.weirmq.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JsonTest {
    @Test
    void readsWhatThereIs() {
        Map<?, ?> object = Json.object(" { \"a\" : [ 1 , -2.5e3, true, false, null, {} , [] ], \"\" : \"\" } ");
        assertEquals(Arrays.asList(1.0, -2500.0, true, false, null, Map.of(), List.of()), object.get("a"));
        assertEquals("", object.get(""));
    }

    @Test
    void readsEscapes() {
        String escaped = "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\uDE00\"}";
        assertEquals("\"\\/\b\f\n\r\té😀", Json.object(escaped).get("a"));
    }

    @Test
    void quotedStringsComeBack() {
        String text = "tab\t quote\" back\\slash \u0000 é 😀";
        assertEquals(text, Json.object("{\"a\":" + Json.quote(text) + "}").get("a"));
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "", " ", "{", "}", "[]", "\"a\"", "1", "null", "{}{}", "{} x", "{a:1}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
        "{\"a\":1 \"b\":2}", "{\"a\":[1,]}", "{\"a\":[1}", "{\"a\":tru}", "{\"a\":truer}", "{\"a\":\"x}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}", "{\"a\":\"\\u12g4\"}", "{\"a\":\"\\u12", "{\"a\":1-}", "{\"a\":NaN}",
    })
    void refusesWhatIsNoObject(String text) {
        assertThrows(IllegalArgumentException.class, () -> Json.object(text));
    }

    @Test
    void refusesDepth() {
        String deep = "{\"a\":" + "[".repeat(100_000);
        assertThrows(IllegalArgumentException.class, () -> Json.object(deep));
    }

    @Test
    void readsErrorsOfPublishesAndOthers() {
        String text = "{\"seq\":9007199254740991,\"error\":{\"code\":\"a\",\"message\":\"b\"}}";
        ErrorFrame refused = ErrorFrame.parse(text);
        assertEquals(9007199254740991L, refused.seq);
        assertEquals("a", refused.code);
        assertEquals("b", refused.message);
        ErrorFrame other = ErrorFrame.parse("{\"error\":{\"code\":\"a\"}}");
        assertEquals(-1, other.seq);
        assertEquals("", other.message);
        assertThrows(IllegalArgumentException.class, () -> ErrorFrame.parse("{\"error\":\"a\"}"));
        assertThrows(IllegalArgumentException.class, () -> ErrorFrame.parse("{\"error\":{}}"));
    }
}
