import java.util.Map;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.DeadLetterPublishingRecoverer;
import org.springframework.kafka.listener.DefaultErrorHandler;
import org.springframework.kafka.listener.KafkaMessageListenerContainer;
import org.springframework.kafka.listener.MessageListener;
import org.springframework.util.backoff.FixedBackOff;

/** A consumer on Spring Kafka as most have it, that fails at every record: BROKER GROUP TOPIC. */
public class SpringRecoverer {
    public static void main(String[] arguments) throws InterruptedException {
        var producer = new DefaultKafkaProducerFactory<byte[], byte[]>(Map.of("bootstrap.servers", arguments[0],
                "key.serializer", ByteArraySerializer.class, "value.serializer", ByteArraySerializer.class));
        var consumer = new DefaultKafkaConsumerFactory<byte[], byte[]>(Map.of("bootstrap.servers", arguments[0],
                "group.id", arguments[1], "auto.offset.reset", "earliest",
                "key.deserializer", ByteArrayDeserializer.class, "value.deserializer", ByteArrayDeserializer.class));
        ContainerProperties properties = new ContainerProperties(arguments[2]);
        properties.setMessageListener((MessageListener<byte[], byte[]>) record -> {
            throw new IllegalStateException("no tea");
        });
        var container = new KafkaMessageListenerContainer<byte[], byte[]>(consumer, properties);
        var recoverer = new DeadLetterPublishingRecoverer(new KafkaTemplate<>(producer));
        container.setCommonErrorHandler(new DefaultErrorHandler(recoverer, new FixedBackOff(0, 1)));
        container.start();
        Thread.currentThread().join();
    }
}
