/** The hub's API as this page uses it: one function a question, errors as ApiError. */

import createClient from 'openapi-fetch'
import { fromAnswer, fromFetchFailure } from './errors'
import type { paths } from './schema'

/** Longest wait for an answer, milliseconds. Long, because a phone at a far site may be slow rather than cut off. */
const TIMEOUT_MS = 20_000

/** Fetch the whole answer within TIMEOUT_MS, its body too: on a bad link it is often the body that never ends. */
async function fetchInTime(request: Request): Promise<Response> {
  const limit = new AbortController()
  const callOff = () => limit.abort(request.signal.reason)
  const late = () => limit.abort(new DOMException(`no answer within ${TIMEOUT_MS} ms`, 'TimeoutError'))
  request.signal.addEventListener('abort', callOff)
  const timer = setTimeout(late, TIMEOUT_MS)
  try {
    const response = await fetch(request, { signal: limit.signal })
    return new Response(response.status === 204 ? null : await response.blob(), response)
  } finally {
    clearTimeout(timer)
    request.signal.removeEventListener('abort', callOff)
  }
}

const http = createClient<paths>({
  // Asked for by the hub on every call that changes something: another site's form cannot send it.
  headers: { 'X-Requested-With': 'cllmh' },
  fetch: fetchInTime,
})

async function answer<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call.catch(failure => {
    throw fromFetchFailure(failure)
  })
  if (!response.ok) throw fromAnswer(response.status, error)
  return data as T
}

export const getSession = () => answer(http.GET('/api/v1/session'))

export const logIn = (username: string, password: string) =>
  answer(http.POST('/api/v1/session', { body: { username, password } }))

export const logOut = () => answer(http.DELETE('/api/v1/session'))

export const getSites = (signal: AbortSignal) => answer(http.GET('/api/v1/sites', { signal }))

type QueryOf<P extends '/api/v1/clips' | '/api/v1/gaps' | '/api/v1/logs'> = NonNullable<paths[P]['get']['parameters']['query']>

/** A question whose parts may be left open: an empty choice in a form means "all". */
type Open<T> = { [K in keyof T]?: T[K] | undefined }

export type ClipQuery = Open<QueryOf<'/api/v1/clips'>>
export type GapQuery = Open<QueryOf<'/api/v1/gaps'>>
export type LogQuery = Open<QueryOf<'/api/v1/logs'>>

/** The parts that are set. */
function chosen<T extends object>(query: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined && value !== '')) as never
}

/** One page of clips, newest first; `next` is the value of `before` that continues it, null at the end. */
export const getClips = (query: ClipQuery, signal: AbortSignal) =>
  answer(http.GET('/api/v1/clips', { params: { query: chosen(query) }, signal }))

export const getGaps = (query: GapQuery, signal: AbortSignal) =>
  answer(http.GET('/api/v1/gaps', { params: { query: chosen(query) }, signal }))

/** Log lines, newest first; `truncated` when there are more than `limit`. */
export const getLogs = (query: LogQuery, signal: AbortSignal) =>
  answer(http.GET('/api/v1/logs', { params: { query: chosen(query) }, signal }))
