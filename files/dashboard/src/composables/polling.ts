import { onMounted, onUnmounted, ref, shallowRef } from 'vue'
import { nextWait, type Pace } from '@/lib/back_off'
import { useClock } from '@/stores/clock'
import { useSession } from '@/stores/session'

/**
 * Load now and again while the page is looked at: at the pace given, slower after failures, not at all in a hidden tab.
 * `load` gets a signal that ends it when the page is left or a newer load begins.
 * `active` (read before each round) can switch the repetition off; `refresh` works all the same.
 */
export function usePolling(load: (signal: AbortSignal) => Promise<void>, pace: Pace, active: () => boolean = () => true) {
  const session = useSession()
  const clock = useClock()
  const loading = ref(false)
  const error = shallowRef<unknown>(null)
  /** Milliseconds since the epoch of the last success; null before the first. */
  const loadedAt = ref<number | null>(null)

  let failures = 0
  let running: AbortController | null = null
  let timer: ReturnType<typeof setTimeout> | undefined

  function schedule(): void {
    clearTimeout(timer)
    timer = setTimeout(() => { if (!document.hidden && active()) void refresh() }, nextWait(failures, pace))
  }

  async function refresh(): Promise<void> {
    running?.abort()
    const mine = new AbortController()
    running = mine
    loading.value = true
    try {
      await load(mine.signal)
      if (mine.signal.aborted) return
      failures = 0
      error.value = null
      loadedAt.value = Date.now()
    } catch (failure) {
      if (mine.signal.aborted) return
      failures += 1
      error.value = failure
      session.noticeFailure(failure)
    } finally {
      if (running === mine) {
        loading.value = false
        clock.tick()
        schedule()
      }
    }
  }

  /** Coming back to the tab or to the network: what is shown is old, so ask at once. */
  function wake(): void {
    if (!document.hidden && active()) void refresh()
  }

  onMounted(() => {
    document.addEventListener('visibilitychange', wake)
    window.addEventListener('online', wake)
    void refresh()
  })
  onUnmounted(() => {
    document.removeEventListener('visibilitychange', wake)
    window.removeEventListener('online', wake)
    clearTimeout(timer)
    running?.abort()
    running = null
  })

  return { loading, error, loadedAt, refresh }
}
