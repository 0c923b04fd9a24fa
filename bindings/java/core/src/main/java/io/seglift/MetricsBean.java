package io.seglift;

import io.seglift.PrometheusText.Sample;
import java.lang.management.ManagementFactory;
import java.util.Collections;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import javax.management.Attribute;
import javax.management.AttributeList;
import javax.management.AttributeNotFoundException;
import javax.management.DynamicMBean;
import javax.management.ImmutableDescriptor;
import javax.management.InstanceAlreadyExistsException;
import javax.management.InstanceNotFoundException;
import javax.management.JMException;
import javax.management.MBeanAttributeInfo;
import javax.management.MBeanInfo;
import javax.management.MBeanServer;
import javax.management.ObjectName;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An engine's metrics in JMX: {@code io.seglift:type=Engine,id=N}, an attribute for each number of the Prometheus page.
 *
 * <p>An attribute has the metric's name of docs/metrics.md, with the values of the labels behind dots:
 * {@code seglift_operations_total.read.OK}. Of histograms there are {@code _count} and {@code _sum}; the buckets are on
 * the page only. Errors become attributes when they first occur, so a client asks for the bean's information anew
 * ({@code immutableInfo} is false). Numbers are at most a second old: a client that reads all attributes one by one
 * costs one page.
 */
final class MetricsBean implements DynamicMBean, AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(LogForwarder.LOGGER);
    private static final String DOMAIN = "io.seglift";
    private static final long FRESH_NANOS = 1_000_000_000;
    /** Numbers the engines of this class loader; another loader's may have taken one, then the next one is tried. */
    private static final AtomicInteger IDS = new AtomicInteger();

    /** Where the page comes from. */
    interface Page {
        String get() throws SegliftException;
    }

    private final MBeanServer server;
    private final Page page;
    private ObjectName name;
    private Map<String, Sample> samples = Collections.emptyMap();
    private long readAt;

    private MetricsBean(MBeanServer server, Page page) {
        this.server = server;
        this.page = page;
    }

    /** Shows a page in this JVM's own JMX until it is closed. A server that refuses is worth a line, not an engine. */
    static MetricsBean register(Page page) {
        return register(ManagementFactory.getPlatformMBeanServer(), page);
    }

    static MetricsBean register(MBeanServer server, Page page) {
        MetricsBean bean = new MetricsBean(server, page);
        try {
            bean.register();
        } catch (JMException | RuntimeException | LinkageError e) {
            LOG.warn("The metrics of an engine are not in JMX: {}", e.toString());
        }
        return bean;
    }

    private void register() throws JMException {
        while (name == null) {
            ObjectName next = new ObjectName(DOMAIN + ":type=Engine,id=" + IDS.incrementAndGet());
            try {
                server.registerMBean(this, next);
                name = next;
            } catch (InstanceAlreadyExistsException taken) {
                // The next number, then.
            }
        }
    }

    /** The name that it is registered by; null if it is not. */
    ObjectName name() {
        return name;
    }

    /** Takes it out of JMX. Closing twice is fine. */
    @Override
    public void close() {
        if (name == null) {
            return;
        }
        try {
            server.unregisterMBean(name);
        } catch (InstanceNotFoundException gone) {
            // Somebody else took it out.
        } catch (JMException e) {
            LOG.warn("{} stays in JMX: {}", name, e.toString());
        }
        name = null;
    }

    @Override
    public Object getAttribute(String attribute) throws AttributeNotFoundException {
        Sample sample = samples().get(attribute);
        if (sample == null) {
            throw new AttributeNotFoundException("there is no metric " + attribute + ", or nothing was counted yet");
        }
        return sample.value();
    }

    @Override
    public AttributeList getAttributes(String[] attributes) {
        Map<String, Sample> now = samples();
        AttributeList found = new AttributeList();
        for (String attribute : attributes) {
            Sample sample = now.get(attribute);
            if (sample != null) {
                found.add(new Attribute(attribute, sample.value()));
            }
        }
        return found;
    }

    @Override
    public MBeanInfo getMBeanInfo() {
        MBeanAttributeInfo[] attributes = samples().entrySet().stream()
                .map(entry -> new MBeanAttributeInfo(
                        entry.getKey(), entry.getValue().value().getClass().getName(), entry.getValue().help(), true,
                        false, false))
                .toArray(MBeanAttributeInfo[]::new);
        return new MBeanInfo(MetricsBean.class.getName(), "The metrics of a seglift engine", attributes, null, null,
                null, new ImmutableDescriptor("immutableInfo=false"));
    }

    @Override
    public void setAttribute(Attribute attribute) throws AttributeNotFoundException {
        throw new AttributeNotFoundException("metrics are read-only: " + attribute.getName());
    }

    @Override
    public AttributeList setAttributes(AttributeList attributes) {
        return new AttributeList();
    }

    @Override
    public Object invoke(String action, Object[] arguments, String[] signature) {
        throw new UnsupportedOperationException("there is nothing to invoke: " + action);
    }

    private synchronized Map<String, Sample> samples() {
        long now = System.nanoTime();
        if (samples.isEmpty() || now - readAt > FRESH_NANOS) {
            samples = read();
            readAt = now;
        }
        return samples;
    }

    private Map<String, Sample> read() {
        Map<String, Sample> read = new TreeMap<>();
        try {
            for (Sample sample : PrometheusText.parse(page.get())) {
                if (!sample.name().endsWith("_bucket")) {
                    String labels = sample.labels().isEmpty() ? "" : "." + String.join(".", sample.labels());
                    read.put(sample.name() + labels, sample);
                }
            }
        } catch (SegliftException closed) {
            // The engine was closed while a client asked: there are no metrics any more.
            read.clear();
        }
        return read;
    }
}
