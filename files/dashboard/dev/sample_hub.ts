/** A hub made of sample data, for `npm run dev:sample` and `npm run preview:sample`. Log in as guard, password cllmh. */

import { execFile } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { mkdtemp, stat } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Connect, Plugin } from 'vite'
import { clips, gaps, logs, sites } from './sample_data.ts'

/** What the hub's gateway sends: no inline script or style, nothing from elsewhere. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "media-src 'self'", "connect-src 'self'",
  "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
].join('; ')

function send(response: ServerResponse, status: number, body?: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers })
  response.end(body === undefined ? undefined : JSON.stringify(body))
}

const refuse = (response: ServerResponse, status: number, code: string, message: string) =>
  send(response, status, { error: { code, message } })

async function bodyOf(request: IncomingMessage): Promise<{ username?: string; password?: string }> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(Buffer.from(chunk))
  return JSON.parse(Buffer.concat(chunks).toString() || '{}')
}

/** A moving test picture, made by ffmpeg once and only when a clip is played. */
async function makeVideo(): Promise<string> {
  const file = join(await mkdtemp(join(tmpdir(), 'cllmh-sample-')), 'clip.mp4')
  const source = ['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=15:duration=20']
  await promisify(execFile)('ffmpeg', ['-v', 'error', ...source, '-c:v', 'libx264', '-pix_fmt', 'yuv420p', file], { timeout: 60_000 })
  return file
}

async function sendVideo(request: IncomingMessage, response: ServerResponse, file: string): Promise<void> {
  const { size } = await stat(file)
  const asked = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
  const start = Number(asked?.[1] ?? 0)
  const end = asked?.[2] ? Math.min(Number(asked[2]), size - 1) : size - 1
  response.writeHead(asked ? 206 : 200, {
    'Content-Type': 'video/mp4',
    'Accept-Ranges': 'bytes',
    'Content-Length': end - start + 1,
    ...(asked ? { 'Content-Range': `bytes ${start}-${end}/${size}` } : {}),
  })
  createReadStream(file, { start, end }).pipe(response)
}

interface Placed { site: string; camera?: string; kind?: string; severity?: string; message?: string }

/** The items that a query asks for. `at` is an item's time, milliseconds. */
function select<T extends Placed>(items: T[], query: URLSearchParams, at: (item: T) => number): T[] {
  const is = (name: 'site' | 'camera' | 'kind', item: T) => !query.get(name) || item[name] === query.get(name)
  const [from, to] = [Date.parse(query.get('from') ?? ''), Date.parse(query.get('to') ?? '')]
  const severities = query.getAll('severity')
  return items.filter(item =>
    is('site', item) && is('camera', item) && is('kind', item)
    && (severities.length === 0 || severities.includes(item.severity ?? ''))
    && (item.message ?? '').toLowerCase().includes((query.get('text') ?? '').toLowerCase())
    && !(at(item) < from) && !(at(item) >= to))
}

function handler(): Connect.NextHandleFunction {
  let video: Promise<string> | undefined

  async function answer(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const now = Date.now()
    const limit = Number(url.searchParams.get('limit') ?? 100)
    const loggedIn = (request.headers.cookie ?? '').includes('sample=guard')
    if (url.pathname === '/api/v1/session' && request.method === 'POST') {
      const { username, password } = await bodyOf(request)
      if (username !== 'guard' || password !== 'cllmh') return refuse(response, 401, 'wrong_login', 'Wrong user name or password')
      return send(response, 200, { name: 'guard', role: 'viewer' }, { 'Set-Cookie': 'sample=guard; Path=/; HttpOnly; SameSite=Strict' })
    }
    if (!loggedIn) return refuse(response, 401, 'not_logged_in', 'Log in first')
    if (url.pathname === '/api/v1/session' && request.method === 'DELETE') {
      return send(response, 204, undefined, { 'Set-Cookie': 'sample=; Path=/; Max-Age=0' })
    }
    if (url.pathname === '/api/v1/session') return send(response, 200, { name: 'guard', role: 'viewer' })
    if (url.pathname === '/api/v1/sites') return send(response, 200, { items: sites(now) })
    if (url.pathname.endsWith('/video')) return sendVideo(request, response, await (video ??= makeVideo()))
    if (url.pathname === '/api/v1/clips') {
      const before = url.searchParams.get('before')
      const found = select(clips(now), url.searchParams, clip => Date.parse(clip.start)).filter(clip => !before || clip.start < before)
      const items = found.slice(0, limit)
      return send(response, 200, { items, next: found.length > limit ? (items.at(-1)?.start ?? null) : null })
    }
    if (url.pathname === '/api/v1/gaps') {
      return send(response, 200, { items: select(gaps(now), url.searchParams, gap => Date.parse(gap.start)), next: null })
    }
    if (url.pathname === '/api/v1/logs') {
      const found = select(logs(now), url.searchParams, line => Date.parse(line.at))
      return send(response, 200, { items: found.slice(0, limit), truncated: found.length > limit })
    }
    return refuse(response, 404, 'not_found', `No ${url.pathname} here`)
  }

  return (request, response, next) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    if (url.pathname.startsWith('/api/')) {
      answer(request, response, url).catch(failure => refuse(response, 500, 'sample_failed', String(failure)))
      return
    }
    next()
  }
}

/** Vite plugin: answers /api/ in the development and the preview server. The built page is served under the gateway's policy. */
export function sampleHub(): Plugin {
  return {
    name: 'cllmh-sample-hub',
    configureServer: server => { server.middlewares.use(handler()) },
    configurePreviewServer: server => {
      server.middlewares.use((_, response, next) => {
        response.setHeader('Content-Security-Policy', CONTENT_SECURITY_POLICY)
        next()
      })
      server.middlewares.use(handler())
    },
  }
}
