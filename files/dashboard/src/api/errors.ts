/** Everything that can go wrong between this page and the hub, as one kind of error. */

/** `network`, `timeout`, or the `error.code` of the hub's answer (`http` when it has none). */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    /** HTTP status; 0 when there was no answer. */
    readonly status: number,
    message: string,
  ) {
    super(message)
    this.name = 'ApiError'
  }
}

/** What a failed fetch means. A request that the page itself called off stays an AbortError. */
export function fromFetchFailure(failure: unknown): unknown {
  if (failure instanceof DOMException && failure.name === 'TimeoutError') return new ApiError('timeout', 0, failure.message)
  if (failure instanceof TypeError) return new ApiError('network', 0, failure.message)
  return failure
}

/** What an answer other than 2xx means. `body` is {error: {code, message}} from the hub, anything from a gateway. */
export function fromAnswer(status: number, body: unknown): ApiError {
  const error = (body as { error?: { code?: unknown; message?: unknown } } | null | undefined)?.error
  return new ApiError(
    typeof error?.code === 'string' ? error.code : 'http',
    status,
    typeof error?.message === 'string' ? error.message : `HTTP ${status}`,
  )
}

/** The message key and its values under "error" in src/i18n for an error of any kind. */
export function explain(failure: unknown): { key: string; values: Record<string, string | number> } {
  if (!(failure instanceof ApiError)) return { key: 'error.request', values: { message: String(failure) } }
  if (failure.code === 'network' || failure.code === 'timeout' || failure.code === 'address_not_allowed') {
    return { key: `error.${failure.code}`, values: {} }
  }
  if (failure.status === 429) return { key: 'error.too_many_attempts', values: {} }
  if (failure.status >= 500) return { key: 'error.server', values: { status: failure.status } }
  return { key: 'error.request', values: { message: failure.message } }
}
