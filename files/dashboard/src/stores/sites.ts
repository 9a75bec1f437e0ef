import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import * as api from '@/api/client'
import type { Site } from '@/api/types'
import { ownZone } from '@/lib/time'

/** The sites with their nodes, cameras and routers, as last heard from the hub. Every page takes names and zones here. */
export const useSites = defineStore('sites', () => {
  const sites = ref<Site[]>([])
  /** Milliseconds since the epoch of the last good answer; null before the first. */
  const loadedAt = ref<number | null>(null)

  async function load(signal: AbortSignal): Promise<void> {
    sites.value = (await api.getSites(signal)).items
    loadedAt.value = Date.now()
  }

  const bySite = computed(() => new Map(sites.value.map(site => [site.name, site])))

  /** Title of a site; its name when the hub does not know it (any more). */
  const titleOf = (name: string): string => bySite.value.get(name)?.title ?? name

  /** Time zone of a site, UTC when unknown. */
  const zoneOf = (name: string): string => bySite.value.get(name)?.timezone ?? 'UTC'

  /** The zone that all sites share, null when they differ. */
  const sharedZone = computed(() => {
    const zones = new Set(sites.value.map(site => site.timezone))
    return zones.size === 1 ? ([...zones][0] ?? null) : null
  })

  /** Zone by which a page counts days: the chosen site's, else the one that all share, else the device's own. */
  const zoneFor = (name: string | undefined): string => (name ? zoneOf(name) : (sharedZone.value ?? ownZone()))

  /** Names of the cameras of a site (of all sites without one), each once, in order. */
  function camerasOf(name: string | undefined): string[] {
    const chosen = name ? sites.value.filter(site => site.name === name) : sites.value
    return [...new Set(chosen.flatMap(site => site.nodes.flatMap(node => node.cameras.map(camera => camera.name))))].sort()
  }

  return { sites, loadedAt, load, titleOf, zoneOf, zoneFor, sharedZone, camerasOf }
})
