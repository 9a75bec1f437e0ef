import { computed, shallowRef } from 'vue'
import { getClips, getGaps, type ClipQuery } from '@/api/client'
import type { Clip, Gap } from '@/api/types'
import { joinClips, mergeTimeline } from '@/lib/timeline'

/** Clips asked for at once: about two screens of a phone, a few kilobytes on a bad link. */
const PAGE_CLIPS = 40
const MOST_GAPS = 200

/** The time line of clips and gaps for a choice of site, camera and time, read page by page. */
export function useFootage(query: () => ClipQuery) {
  const clips = shallowRef<Clip[]>([])
  const gaps = shallowRef<Gap[]>([])
  /** Where the next older page begins; null when everything is loaded. */
  const next = shallowRef<string | null>(null)
  const rows = computed(() => mergeTimeline(clips.value, gaps.value, next.value === null))

  /** Fetch the newest page and put it before what is there, unless so much is new that something would be missing between. */
  async function loadNewest(signal: AbortSignal): Promise<void> {
    const [page, holes] = await Promise.all([
      getClips({ ...query(), limit: PAGE_CLIPS }, signal),
      getGaps({ ...query(), limit: MOST_GAPS }, signal),
    ])
    const known = new Set(clips.value.map(clip => clip.id))
    if (page.items.some(clip => known.has(clip.id))) {
      clips.value = joinClips(page.items, clips.value)
    } else {
      clips.value = page.items
      next.value = page.next
    }
    gaps.value = holes.items
  }

  async function loadOlder(signal: AbortSignal): Promise<void> {
    if (next.value === null) return
    const page = await getClips({ ...query(), limit: PAGE_CLIPS, before: next.value }, signal)
    clips.value = joinClips(page.items, clips.value)
    next.value = page.next
  }

  /** Forget everything: the choice has changed. */
  function clear(): void {
    clips.value = []
    gaps.value = []
    next.value = null
  }

  return { clips, rows, next, loadNewest, loadOlder, clear }
}
