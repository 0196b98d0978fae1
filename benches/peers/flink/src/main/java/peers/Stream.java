package peers;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import org.apache.avro.Schema;
import org.apache.avro.specific.SpecificData;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.file.sink.FileSink;
import org.apache.flink.connector.file.src.FileSource;
import org.apache.flink.connector.file.src.reader.TextLineInputFormat;
import org.apache.flink.core.fs.Path;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.formats.parquet.ParquetWriterFactory;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.filesystem.BucketAssigner;
import org.apache.flink.streaming.api.functions.sink.filesystem.bucketassigners.SimpleVersionedStringSerializer;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.parquet.avro.AvroParquetWriter;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;

/** DataStream: Jackson's tree to an Avro record, keyed by zone, Parquet rolled at each checkpoint; the bulk body apart. */
class Stream {
  static void run(StreamExecutionEnvironment environment, String in, String out) throws Exception {
    FileSource<String> lines = FileSource.forRecordStreamFormat(new TextLineInputFormat(), new Path(in)).build();
    DataStream<Trip> trips =
        environment.fromSource(lines, WatermarkStrategy.noWatermarks(), "lines").map(new Decode());
    ParquetWriterFactory<Trip> parquet = new ParquetWriterFactory<>(file -> AvroParquetWriter.<Trip>builder(file)
        .withSchema(Trip.getClassSchema())
        .withDataModel(SpecificData.getForClass(Trip.class))
        .withCompressionCodec(CompressionCodecName.SNAPPY)
        .build());
    trips.keyBy(Trip::getPickupLocationId)
        .sinkTo(FileSink.forBulkFormat(new Path(out), parquet).withBucketAssigner(new Folders()).build());
    trips.map(new Bulk()).sinkTo(new DiscardingSink<>());
    environment.execute();
  }

  static class Decode extends RichMapFunction<String, Trip> {
    private transient ObjectMapper mapper;

    @Override public void open(Configuration configuration) {
      mapper = new ObjectMapper();
    }

    @Override public Trip map(String line) throws Exception {
      ObjectNode trip = mapper.readValue(line, ObjectNode.class);
      Meter.record();
      return Trip.newBuilder()
          .setVendorId(trip.get("vendor_id").asInt())
          .setPickupDatetime(Instant.parse(trip.get("pickup_datetime").asText()))
          .setDropoffDatetime(Instant.parse(trip.get("dropoff_datetime").asText()))
          .setPassengerCount(trip.get("passenger_count").asInt())
          .setTripDistance(trip.get("trip_distance").asDouble())
          .setRatecodeId(trip.get("ratecode_id").asInt())
          .setStoreAndFwdFlag(trip.get("store_and_fwd_flag").asText())
          .setPickupLocationId(trip.get("pickup_location_id").asInt())
          .setDropoffLocationId(trip.get("dropoff_location_id").asInt())
          .setPaymentType(trip.get("payment_type").asInt())
          .setFareAmount(trip.get("fare_amount").asDouble())
          .setExtra(trip.get("extra").asDouble())
          .setMtaTax(trip.get("mta_tax").asDouble())
          .setTipAmount(trip.get("tip_amount").asDouble())
          .setTollsAmount(trip.get("tolls_amount").asDouble())
          .setImprovementSurcharge(trip.get("improvement_surcharge").asDouble())
          .setTotalAmount(trip.get("total_amount").asDouble())
          .setTripId(trip.get("trip_id").asLong())
          .setType(trip.get("type").asText())
          .build();
    }
  }

  static class Folders implements BucketAssigner<Trip, String> {
    @Override public String getBucketId(Trip trip, Context context) {
      ZonedDateTime time = trip.getPickupDatetime().atZone(ZoneOffset.UTC);
      return String.format("borough=%s/year=%04d/month=%02d/day=%02d/hour=%02d",
          Job.borough(trip.getPickupLocationId()), time.getYear(), time.getMonthValue(), time.getDayOfMonth(), time.getHour());
    }

    @Override public SimpleVersionedSerializer<String> getSerializer() {
      return SimpleVersionedStringSerializer.INSTANCE;
    }
  }

  /** An action and a document, written field by field, times as milliseconds. */
  static class Bulk extends RichMapFunction<Trip, Integer> {
    @Override public Integer map(Trip trip) {
      StringBuilder text = new StringBuilder(512);
      text.append("{\"index\":{\"_index\":\"").append(trip.getType());
      text.append("\",\"_id\":\"").append(trip.getTripId()).append("\"}}\n{");
      for (Schema.Field field : Trip.getClassSchema().getFields()) {
        Object value = trip.get(field.pos());
        text.append(field.pos() == 0 ? "\"" : ",\"").append(field.name()).append("\":");
        if (value instanceof Instant) text.append(((Instant) value).toEpochMilli());
        else if (value instanceof CharSequence) text.append('"').append(value).append('"');
        else text.append(value);
      }
      int length = text.append("}\n").toString().getBytes(StandardCharsets.UTF_8).length;
      Meter.BULK_BYTES.addAndGet(length);
      return length;
    }
  }
}
