package io.seglift;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.reflect.Proxy;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import org.junit.jupiter.api.Test;
import org.slf4j.Logger;

class LogForwarderTest {
    private final Queue<byte[]> lines = new ArrayDeque<>();
    private final List<String> logged = new ArrayList<>();

    @Test
    void eachLineIsLoggedAtItsLevelWithoutSayingItTwice() {
        add(1, "error store: access denied key=a/b");
        add(2, "warn store: slow … 999 times more");
        add(3, "info engine: opened");
        add(4, "debug reader: hit");
        forwarder(logged).run();
        assertEquals(
                List.of("error store: access denied key=a/b", "warn store: slow … 999 times more",
                        "info engine: opened", "debug reader: hit"),
                logged);
    }

    @Test
    void aLoggerThatFailsDoesNotStopTheOthers() {
        add(1, "error store: one");
        add(3, "info store: two");
        LogForwarder forwarder = new LogForwarder(lines::poll, logger((level, text) -> {
            if (level.equals("error")) {
                throw new IllegalStateException("the appender is closed");
            }
            logged.add(level + " " + text);
        }));
        forwarder.run();
        assertEquals(List.of("info store: two"), logged);
    }

    @Test
    void aFloodIsForwardedInRoundsSoThatCompletionsComeBetween() {
        for (int i = 0; i < LogForwarder.ROUND + 10; i++) {
            add(3, "info store: line " + i);
        }
        LogForwarder forwarder = forwarder(logged);
        forwarder.run();
        assertEquals(LogForwarder.ROUND, logged.size());
        forwarder.run();
        assertEquals(LogForwarder.ROUND + 10, logged.size());
    }

    private void add(int level, String text) {
        lines.add(new Packer().number(0).number(level).number(0).number(0).text(text, "line").toBytes());
    }

    private LogForwarder forwarder(List<String> into) {
        return new LogForwarder(lines::poll, logger((level, text) -> into.add(level + " " + text)));
    }

    private interface Sink {
        void log(String level, String text);
    }

    private static Logger logger(Sink sink) {
        return (Logger) Proxy.newProxyInstance(
                LogForwarderTest.class.getClassLoader(), new Class<?>[] {Logger.class}, (proxy, method, arguments) -> {
                    sink.log(method.getName(), (String) arguments[0]);
                    return null;
                });
    }
}
