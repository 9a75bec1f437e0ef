import { computed } from 'vue'
import { useRoute, useRouter } from 'vue-router'

/** Choices of a page that live in its address, so that they survive a reload and can be sent to a colleague. */
export function useQueryFilter<Name extends string>(names: readonly Name[]) {
  const route = useRoute()
  const router = useRouter()

  const filter = computed(() => {
    const found: Partial<Record<Name, string>> = {}
    for (const name of names) {
      const value = route.query[name]
      if (typeof value === 'string' && value !== '') found[name] = value
    }
    return found
  })

  /** Set some choices; an empty or missing value removes one. */
  function choose(changes: Partial<Record<Name, string | undefined>>): void {
    const query = Object.fromEntries(Object.entries({ ...route.query, ...changes }).filter(([, value]) => value))
    void router.replace({ query: query as Record<string, string> })
  }

  return { filter, choose }
}
