// Reads an AsyncAPI document from standard input with AsyncAPI's own parser, and
// writes what it finds, as JSON: the diagnostics, whose severity is 0 for an
// error, 1 for a warning and more for advice, and the channels' addresses, or
// null when the parser refuses the document.
import { text } from 'node:stream/consumers';
import asyncapi from '@asyncapi/parser';
import protobuf from '@asyncapi/protobuf-schema-parser';

const parser = new asyncapi.Parser();
parser.registerSchemaParser(protobuf.ProtoBuffSchemaParser());
const { document, diagnostics } = await parser.parse(await text(process.stdin));
console.log(JSON.stringify({
  diagnostics: diagnostics.map(({ severity, code, path, message }) => ({ severity, code, path: path.join('/'), message })),
  addresses: document ? document.channels().all().map((channel) => channel.address()) : null,
}));
