// node server.js PORT     kinesalite, with what a real stream does and kinesalite does not:
// KINESIS_LIMITS=1        a shard takes 1000 records and 1 MiB a second: what is more fails with
//                         ProvisionedThroughputExceededException, within PutRecords record by record
// KINESIS_FAIL=0.1        that share of records fails with InternalFailure, before it is stored (the same at every run)
// KINESIS_STREAMS=trips:2 makes these streams, with so many shards each, commas between
// KINESIS_HOST=127.0.0.1  where it listens
// Only JSON requests (not the Java SDK's CBOR) are limited or failed. A record's shard is told by its key's MD5, as if
// the stream had the even shards that it was created with.
const http = require('http')
const crypto = require('crypto')
const kinesalite = require(process.env.KINESALITE || 'kinesalite')

const RECORDS = 1000
const BYTES = 1 << 20
const port = +process.argv[2]
const limits = process.env.KINESIS_LIMITS === '1'
const share = +(process.env.KINESIS_FAIL || 0)
const inner = kinesalite({ createStreamMs: 5, deleteStreamMs: 5, updateStreamMs: 5, shardLimit: 500 })
const json = { 'content-type': 'application/x-amz-json-1.1' }
const messages = {
  InternalFailure: 'Internal service failure.',
  ProvisionedThroughputExceededException: 'Rate exceeded for shard in stream.',
}

let seed = 1
const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647

const shards = new Map() // how many a stream was created with
const left = new Map() // what a shard takes now

function shard(stream, record) {
  const md5 = () => '0x' + crypto.createHash('md5').update(record.PartitionKey).digest('hex')
  const hash = BigInt(record.ExplicitHashKey || md5())
  return stream + '/' + ((hash * BigInt(shards.get(stream) || 1)) >> 128n)
}

// The error code of a record that is not to be stored.
function fails(stream, record) {
  if (random() < share) return 'InternalFailure'
  if (!limits) return null
  const size = Buffer.byteLength(record.Data || '', 'base64') + Buffer.byteLength(record.PartitionKey)
  if (size > BYTES) return null // kinesalite refuses it
  const id = shard(stream, record)
  const now = Date.now()
  const bucket = left.get(id) || { records: RECORDS, bytes: BYTES, at: now }
  const seconds = (now - bucket.at) / 1000
  bucket.records = Math.min(RECORDS, bucket.records + seconds * RECORDS)
  bucket.bytes = Math.min(BYTES, bucket.bytes + seconds * BYTES)
  bucket.at = now
  left.set(id, bucket)
  if (bucket.records < 1 || bucket.bytes < size) return 'ProvisionedThroughputExceededException'
  bucket.records--
  bucket.bytes -= size
  return null
}

function forward(request, body, answer) {
  const headers = { ...request.headers, 'content-length': body.length }
  const to = { host: '127.0.0.1', port: inner.address().port, method: request.method, path: request.url, headers }
  const failed = error => answer(502, {}, Buffer.from(String(error)))
  const passed = http.request(to, reply => {
    const parts = []
    reply.on('data', part => parts.push(part))
    reply.on('end', () => answer(reply.statusCode, reply.headers, Buffer.concat(parts)))
    reply.on('error', failed)
  })
  passed.on('error', failed)
  passed.end(body)
}

function handle(request, body, answer) {
  if (request.url === '/_health') return answer(200, {}, Buffer.from('ok'))
  const action = (request.headers['x-amz-target'] || '').split('.')[1]
  const known = /json/.test(request.headers['content-type'] || '') && ['CreateStream', 'PutRecord', 'PutRecords'].includes(action)
  let ask = {}
  try {
    if (known) ask = JSON.parse(body)
  } catch {
    return forward(request, body, answer)
  }
  const stream = ask.StreamName || (ask.StreamARN || '').split('/')[1]
  if (action === 'CreateStream') shards.set(stream, ask.ShardCount || 1)
  const limited = limits || share > 0
  if (action === 'PutRecord' && limited) {
    const code = fails(stream, ask)
    const status = code === 'InternalFailure' ? 500 : 400
    if (code) return answer(status, json, Buffer.from(JSON.stringify({ __type: code, message: messages[code] })))
  }
  if (action !== 'PutRecords' || !limited || !Array.isArray(ask.Records) || ask.Records.length > 500) {
    return forward(request, body, answer)
  }
  const codes = ask.Records.map(record => fails(stream, record))
  const kept = ask.Records.filter((_, index) => !codes[index])
  const merged = stored => {
    const records = codes.map(code => (code ? { ErrorCode: code, ErrorMessage: messages[code] } : stored.shift()))
    answer(200, json, Buffer.from(JSON.stringify({ FailedRecordCount: codes.filter(Boolean).length, Records: records })))
  }
  if (!kept.length) return merged([])
  forward(request, Buffer.from(JSON.stringify({ ...ask, Records: kept })), (status, headers, reply) =>
    status === 200 ? merged(JSON.parse(reply).Records) : answer(status, headers, reply))
}

const server = http.createServer((request, response) => {
  const parts = []
  request.on('data', part => parts.push(part))
  request.on('end', () => handle(request, Buffer.concat(parts), (status, headers, body) => {
    response.writeHead(status, { ...headers, 'content-length': body.length })
    response.end(body)
  }))
})
function create(name, count, made) {
  shards.set(name, count)
  const body = Buffer.from(JSON.stringify({ StreamName: name, ShardCount: count }))
  // It wants a signature and does not verify it.
  const authorization = 'AWS4-HMAC-SHA256 Credential=a/20000101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=a'
  const headers = { ...json, authorization, 'x-amz-date': '20000101T000000Z', 'x-amz-target': 'Kinesis_20131202.CreateStream' }
  forward({ method: 'POST', url: '/', headers }, body, (status, _, reply) => {
    if (status !== 200) throw new Error(`cannot make the stream ${name}: ${reply}`)
    made()
  })
}

function serve(streams) {
  if (!streams.length) return server.listen(port, process.env.KINESIS_HOST || '127.0.0.1')
  const [name, count] = streams[0].split(':')
  create(name, +(count || 1), () => serve(streams.slice(1)))
}

inner.listen(0, '127.0.0.1', () => serve((process.env.KINESIS_STREAMS || '').split(',').filter(Boolean)))
