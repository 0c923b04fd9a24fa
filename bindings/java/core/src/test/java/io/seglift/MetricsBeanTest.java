package io.seglift;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.management.ManagementFactory;
import java.lang.reflect.Proxy;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import javax.management.Attribute;
import javax.management.AttributeNotFoundException;
import javax.management.JMException;
import javax.management.MBeanAttributeInfo;
import javax.management.MBeanServer;
import org.junit.jupiter.api.Test;

class MetricsBeanTest {
    private static final String PAGE = """
            # HELP seglift_operations_total Operations that ended, by how.
            # TYPE seglift_operations_total counter
            seglift_operations_total{op="read",result="OK"} 7
            # HELP seglift_lent_bytes Bytes of zero-copy results that hosts hold.
            # TYPE seglift_lent_bytes gauge
            seglift_lent_bytes -1
            # HELP seglift_budget_wait_seconds Time that reservations waited for the memory budget.
            # TYPE seglift_budget_wait_seconds histogram
            seglift_budget_wait_seconds_bucket{le="0.001"} 2
            seglift_budget_wait_seconds_bucket{le="+Inf"} 3
            seglift_budget_wait_seconds_sum 1.5
            seglift_budget_wait_seconds_count 3
            """;

    private final MBeanServer server = ManagementFactory.getPlatformMBeanServer();

    @Test
    void aMetricIsAnAttributeByItsNameAndTheValuesOfItsLabels() throws JMException {
        try (MetricsBean bean = MetricsBean.register(() -> PAGE)) {
            assertEquals(7L, server.getAttribute(bean.name(), "seglift_operations_total.read.OK"));
            assertEquals(-1L, server.getAttribute(bean.name(), "seglift_lent_bytes"));
            assertEquals(1.5, server.getAttribute(bean.name(), "seglift_budget_wait_seconds_sum"));
            assertEquals(3L, server.getAttribute(bean.name(), "seglift_budget_wait_seconds_count"));
            assertThrows(AttributeNotFoundException.class, () -> server.getAttribute(bean.name(), "seglift_nothing"));
            assertEquals(List.of(new Attribute("seglift_lent_bytes", -1L)),
                    server.getAttributes(bean.name(), new String[] {"seglift_lent_bytes", "seglift_nothing"}));
        }
    }

    @Test
    void anAttributeExplainsItselfAndTheBucketsAreLeftToThePage() throws JMException {
        try (MetricsBean bean = MetricsBean.register(() -> PAGE)) {
            MBeanAttributeInfo[] attributes = server.getMBeanInfo(bean.name()).getAttributes();
            assertEquals(
                    List.of("seglift_budget_wait_seconds_count", "seglift_budget_wait_seconds_sum",
                            "seglift_lent_bytes", "seglift_operations_total.read.OK"),
                    Arrays.stream(attributes).map(MBeanAttributeInfo::getName).toList());
            assertEquals("Time that reservations waited for the memory budget.", attributes[0].getDescription());
            assertEquals("java.lang.Double", attributes[1].getType());
            assertFalse(attributes[2].isWritable());
        }
    }

    @Test
    void aClientThatReadsManyAttributesCostsOnePage() throws JMException {
        AtomicInteger pages = new AtomicInteger();
        try (MetricsBean bean = MetricsBean.register(() -> {
            pages.incrementAndGet();
            return PAGE;
        })) {
            for (int i = 0; i < 100; i++) {
                server.getAttribute(bean.name(), "seglift_lent_bytes");
            }
            assertTrue(pages.get() <= 10, "pages: " + pages);
        }
    }

    @Test
    void aServerThatRefusesCostsTheBeanAndNothingElse() {
        MBeanServer refusing = (MBeanServer) Proxy.newProxyInstance(
                MetricsBeanTest.class.getClassLoader(), new Class<?>[] {MBeanServer.class},
                (proxy, method, arguments) -> {
                    throw new SecurityException("no beans here");
                });
        MetricsBean bean = MetricsBean.register(refusing, () -> PAGE);
        assertNull(bean.name());
        bean.close();
    }

    @Test
    void eachEngineHasItsOwnNameAndLeavesNoneBehind() {
        MetricsBean one = MetricsBean.register(() -> PAGE);
        MetricsBean other = MetricsBean.register(() -> PAGE);
        assertFalse(one.name().equals(other.name()));
        assertEquals("Engine", one.name().getKeyProperty("type"));
        var names = List.of(one.name(), other.name());
        one.close();
        other.close();
        one.close();
        assertTrue(names.stream().noneMatch(server::isRegistered));
    }
}
