package com.weirmq.sdk;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.eclipse.paho.mqttv5.client.MqttClient;
import org.eclipse.paho.mqttv5.client.MqttConnectionOptions;
import org.eclipse.paho.mqttv5.client.persist.MemoryPersistence;
import org.eclipse.paho.mqttv5.common.MqttException;

/** A real Weir with an embedded NATS server, from the program that WEIR_BIN, or -Dweir.bin, names. */
final class Weir {
    private static final long PATIENCE_SECONDS = 60;

    private static final String TENANTS = String.join("\n",
            "tenants:",
            "  acme:",
            "    users:",
            "      thermostat-7: {password: s3cret, role: device}",
            "      mapper: {password: s3cret, role: application}",
            "    topics:",
            "      - {filter: \"small/#\", stream: dedicated, backlog_messages: 1}",
            "");

    private final Path directory;
    private final StringBuilder said = new StringBuilder();
    private Process process;
    private String mqtt = "127.0.0.1:0";
    private String http = "127.0.0.1:0";

    Weir(Path directory) throws IOException, InterruptedException {
        this.directory = directory;
        Files.writeString(directory.resolve("tenants.yaml"), TENANTS);
        start();
    }

    /** Starts it again, on the addresses that it had. */
    void restart() throws IOException, InterruptedException {
        start();
    }

    /** Ends it without giving it time for anything. */
    void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    MqttServiceApi.Builder api() {
        return MqttServiceApi.webSocket()
                .url("ws://" + http)
                .tokenApi(tokens("acme/mapper", "s3cret"))
                .reconnect(ReconnectPolicy.exponential(
                        Duration.ofMillis(50), Duration.ofMillis(500)));
    }

    TokenApi tokens(String user, String password) {
        return TokenApi.basic("http://" + http, user, password);
    }

    /** A device that is connected. */
    MqttClient device(String clientId) throws MqttException {
        MqttClient device = new MqttClient("tcp://" + mqtt, clientId, new MemoryPersistence());
        MqttConnectionOptions options = new MqttConnectionOptions();
        options.setUserName("acme/thermostat-7");
        options.setPassword("s3cret".getBytes(StandardCharsets.UTF_8));
        options.setCleanStart(true);
        device.setTimeToWait(TimeUnit.SECONDS.toMillis(PATIENCE_SECONDS));
        device.connect(options);
        return device;
    }

    void stop() throws InterruptedException {
        process.destroy();
        if (!process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
            kill();
            throw new AssertionError("Weir does not stop:\n" + said());
        }
    }

    private void start() throws IOException, InterruptedException {
        ProcessBuilder builder = new ProcessBuilder(program()).redirectErrorStream(true);
        Map<String, String> environment = builder.environment();
        environment.keySet().removeIf(name -> name.startsWith("WEIR_"));
        environment.put("WEIR_MQTT_ADDR", mqtt);
        environment.put("WEIR_HTTP_ADDR", http);
        environment.put("WEIR_NATS_ADDR", "off");
        environment.put("WEIR_ADMIN_ADDR", "off");
        environment.put("WEIR_DATA_DIR", directory.resolve("data").toString());
        environment.put("WEIR_TENANTS_FILE", directory.resolve("tenants.yaml").toString());
        environment.put("WEIR_LOG_FORMAT", "json");
        process = builder.start();
        BlockingQueue<Map<?, ?>> ready = new LinkedBlockingQueue<>();
        Thread reader = new Thread(() -> read(process, ready), "output of Weir");
        reader.setDaemon(true);
        reader.start();
        Map<?, ?> line = ready.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
        if (line == null || line.isEmpty()) {
            process.destroyForcibly();
            throw new AssertionError("Weir is not ready:\n" + said());
        }
        mqtt = (String) line.get("mqtt");
        http = (String) line.get("http");
    }

    private static String program() {
        String program = System.getProperty("weir.bin", System.getenv("WEIR_BIN"));
        if (program == null) {
            throw new AssertionError("WEIR_BIN does not name the program weir");
        }
        return program;
    }

    /** Reads what the program says, and hands over the line that it is ready; an empty one if it ends before. */
    private void read(Process from, BlockingQueue<Map<?, ?>> ready) {
        try (BufferedReader lines = new BufferedReader(
                new InputStreamReader(from.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                synchronized (said) {
                    said.append(line).append('\n');
                }
                if (line.contains("\"msg\":\"ready\"")) {
                    ready.add(Json.object(line));
                }
            }
        } catch (IOException e) {
            synchronized (said) {
                said.append(e).append('\n');
            }
        }
        ready.add(Map.of());
    }

    private String said() {
        synchronized (said) {
            return said.toString();
        }
    }
}
