"""Makes the files of this directory: pip install pyarrow pandas; python make.py"""
import datetime as dt, decimal, gzip, io
import pandas as pd, pyarrow as pa, pyarrow.compute as pc, pyarrow.csv as pcsv, pyarrow.feather as feather, pyarrow.ipc as ipc, pyarrow.parquet as pq

utc = dt.timezone.utc
n = 200
day = [dt.date(2026, 1, 1) + dt.timedelta(days=i % 60) for i in range(n)]
at = [dt.datetime(2026, 1, 1, tzinfo=utc) + dt.timedelta(minutes=i, microseconds=i) for i in range(n)]
gap = lambda i, v: None if i % 7 == 3 else v
table = pa.table({
    "id": pa.array([f"row-{i}" for i in range(n)]),
    "nested": pa.array([[i, i + 1] for i in range(n)], pa.list_(pa.int32())),
    "age": pa.array([gap(i, 18 + i % 60) for i in range(n)], pa.int16()),
    "big": pa.array([2**40 + i for i in range(n)], pa.uint64()),
    "ratio": pa.array([gap(i, i / 7) for i in range(n)], pa.float64()),
    "single": pa.array([i / 8 for i in range(n)], pa.float32()),
    "half": pc.cast(pa.array([float(i % 100) for i in range(n)], pa.float32()), pa.float16()),
    "price": pa.array([gap(i, decimal.Decimal(i - 1000) / 100) for i in range(n)], pa.decimal128(12, 2)),
    "day": pa.array([gap(i, d) for i, d in enumerate(day)], pa.date32()),
    "day64": pa.array(day, pa.date64()),
    "at": pa.array([gap(i, t) for i, t in enumerate(at)], pa.timestamp("us", tz="UTC")),
    "seconds": pa.array([t.replace(tzinfo=None) for t in at], pa.timestamp("ns")),
    "color": pa.array([gap(i, ["red", "green", "a color with a long name"][i % 3]) for i in range(n)]),
    "kind": pa.array([gap(i, ["x", "y"][i % 2]) for i in range(n)]).dictionary_encode(),
    "member": pa.array([gap(i, i % 3 == 0) for i in range(n)], pa.bool_()),
    "none": pa.nulls(n),
})
views = table.set_column(table.schema.get_field_index("color"), "color", table["color"].cast(pa.string_view()))
views = views.append_column("last", pa.array([gap(i, f"the last text of all, number {i % 9}") for i in range(n)]).cast(pa.string_view()))


def write(name, make, table=table, chunk=70, **options):
    with make(name, table.schema, options=ipc.IpcWriteOptions(**options)) as out:
        out.write_table(table, max_chunksize=chunk)


write("file.arrow", ipc.new_file)
write("stream.arrows", ipc.new_stream)
write("views.arrow", ipc.new_file, table=views)
write("zstd.arrow", ipc.new_file, compression="zstd")
feather.write_feather(table.drop_columns(["none"]), "lz4.feather", chunksize=70)
# A stream whose dictionary grows from batch to batch.
with ipc.new_stream("deltas.arrows", pa.schema([("kind", pa.dictionary(pa.int32(), pa.string()))]),
                    options=ipc.IpcWriteOptions(emit_dictionary_deltas=True)) as out:
    for words in (["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d"]):
        out.write_batch(pa.record_batch([pa.DictionaryArray.from_arrays(pa.array(range(len(words)), pa.int32()), words)], names=["kind"]))
pq.write_table(table.drop_columns(["none", "half"]), "table.parquet", row_group_size=70, data_page_size=300)
pq.write_table(table.select(["at", "price"]), "int96.parquet", use_deprecated_int96_timestamps=True, store_decimal_as_integer=True)
plain = table.drop_columns(["none", "nested"]).to_pandas()
plain.to_csv("table.csv", index=False, date_format="%Y-%m-%dT%H:%M:%S.%fZ", na_rep="NA")
