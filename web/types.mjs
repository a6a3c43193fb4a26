// Writes src/api/types.ts: the messages of the gateway's API, as its OpenAPI document
// and the protos that it is made from describe them. In an answer everything is there
// but what the protos call optional, which is left out, and messages that were not
// set, which are null.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

const proto = new URL('../proto/', import.meta.url)
const document = JSON.parse(readFileSync(new URL('openapi/driftmesh.swagger.json', proto), 'utf8'))

const optional = new Set()
for (const file of readdirSync(proto, { recursive: true }).filter((f) => f.endsWith('.proto'))) {
  let message = ''
  for (const line of readFileSync(new URL(file, proto), 'utf8').split('\n')) {
    message = line.match(/^message (\w+)/)?.[1] ?? message
    const field = line.match(/^\s+optional \S+ (\w+) =/)?.[1]
    if (field) optional.add(`${message}.${field}`)
  }
}

const name = (definition) => definition.replace(/^(driftmesh[A-Z][a-z]+V\d|v\d|protobuf|rpc)(?=[A-Z])/, '')
const referred = (ref) => document.definitions[ref.slice('#/definitions/'.length)]

function type(schema) {
  if (schema.$ref) return name(schema.$ref.split('/').pop())
  if (schema.enum) return schema.enum.map((v) => `'${v}'`).join(' | ')
  switch (schema.type) {
    case 'array': return `${type(schema.items)}[]`
    case 'object': return schema.additionalProperties ? `{ [key: string]: ${type(schema.additionalProperties)} }` : '{ [key: string]: unknown }'
    case 'integer': case 'number': return 'number'
    case 'boolean': return 'boolean'
    default: return 'string' // 64-bit numbers too: they are more than a number of JavaScript holds
  }
}

const isMessage = (schema) => (schema.$ref ? !referred(schema.$ref).enum : schema.format === 'date-time')

let out = '// Made by npm run types. Do not edit.\n'
for (const [definition, schema] of Object.entries(document.definitions).sort(([a], [b]) => (name(a) < name(b) ? -1 : 1))) {
  const message = name(definition)
  const title = (schema.description ?? '').split('\n')[0]
  out += title ? `\n/** ${title.replaceAll('*/', '* /')} */\n` : '\n'
  if (!schema.properties) {
    out += `export type ${message} = ${type(schema)}\n`
    continue
  }
  out += `export interface ${message} {\n`
  for (const [field, of] of Object.entries(schema.properties)) {
    out += `  ${field.startsWith('@') ? `'${field}'` : field}${optional.has(`${message}.${field}`) ? '?' : ''}: ${type(of)}${isMessage(of) ? ' | null' : ''}\n`
  }
  out += '}\n'
}
writeFileSync(new URL('src/api/types.ts', import.meta.url), out)
