// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { getClips, getLogs, getSession, getSites, logIn, logOut } from '@/api/client'
import { ApiError, explain } from '@/api/errors'

const asked: Request[] = []

/** Let the hub answer every request in this way; requests are kept in `asked`. */
function hubAnswers(status: number, body?: unknown, type = 'application/json'): void {
  vi.stubGlobal('fetch', async (request: Request) => {
    asked.push(request)
    const text = body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body)
    return new Response(text, { status, headers: { 'Content-Type': type } })
  })
}

const failureOf = (call: Promise<unknown>) => call.then(() => null, (failure: unknown) => failure)
const never = new AbortController().signal

beforeEach(() => { asked.length = 0 })
afterEach(() => { vi.unstubAllGlobals() })

describe('a question to the hub', () => {
  test('carries the header that other sites cannot send, and the body as JSON', async () => {
    hubAnswers(200, { name: 'guard', role: 'viewer' })
    expect(await logIn('guard', 'p@:/#%')).toEqual({ name: 'guard', role: 'viewer' })
    expect(asked[0]?.headers.get('X-Requested-With')).toBe('cllmh')
    expect(await asked[0]?.json()).toEqual({ username: 'guard', password: 'p@:/#%' })
  })
  test('leaves out what is not chosen', async () => {
    hubAnswers(200, { items: [], next: null })
    await getClips({ site: '', camera: 'gate', from: undefined, limit: 40 }, never)
    expect(new URL(asked[0]?.url ?? '').search).toBe('?camera=gate&limit=40')
  })
  test('names each severity by itself', async () => {
    hubAnswers(200, { items: [], truncated: false })
    await getLogs({ severity: ['err', 'crit'], text: 'a&b' }, never)
    expect(new URL(asked[0]?.url ?? '').searchParams.getAll('severity')).toEqual(['err', 'crit'])
    expect(new URL(asked[0]?.url ?? '').searchParams.get('text')).toBe('a&b')
  })
  test('may be answered with nothing', async () => {
    hubAnswers(204)
    await expect(logOut()).resolves.toBeUndefined()
  })
})

describe('a failure', () => {
  test('keeps the code and message of the hub', async () => {
    hubAnswers(403, { error: { code: 'address_not_allowed', message: 'Not from here' } })
    const failure = await failureOf(getSession())
    expect(failure).toMatchObject({ code: 'address_not_allowed', status: 403, message: 'Not from here' })
    expect(explain(failure).key).toBe('error.address_not_allowed')
  })
  test('of the gateway in front of the hub is told by its status', async () => {
    hubAnswers(502, '<html>Bad Gateway</html>', 'text/html')
    expect(explain(await failureOf(getSites(never)))).toEqual({ key: 'error.server', values: { status: 502 } })
  })
  test('of the network is told as such', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('Failed to fetch')))
    expect(await failureOf(getSites(never))).toMatchObject({ code: 'network', status: 0 })
  })
  test('to answer in time is told as such, and ends the request', async () => {
    vi.useFakeTimers()
    const hangs = (_: Request, { signal }: { signal: AbortSignal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    vi.stubGlobal('fetch', hangs)
    const failure = failureOf(getSites(never))
    await vi.advanceTimersByTimeAsync(20_000)
    expect(explain(await failure).key).toBe('error.timeout')
    vi.useRealTimers()
  })
  test('that the page itself caused stays an abort', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new DOMException('left', 'AbortError')))
    expect(await failureOf(getSites(never))).not.toBeInstanceOf(ApiError)
  })
})
