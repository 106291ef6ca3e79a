package com.weirmq.sdk;

/** Checks of configured values. */
final class Configs {
    private Configs() {}

    static String notBlank(String value, String name) {
        if (value == null || value.isBlank()) {
            throw new IllegalArgumentException(name + " is missing");
        }
        return value;
    }

    static long positive(long value, String name) {
        if (value < 1) {
            throw new IllegalArgumentException(name + " is " + value);
        }
        return value;
    }
}
