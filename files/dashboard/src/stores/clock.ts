import { defineStore } from 'pinia'
import { ref } from 'vue'

/** What time it is, for texts such as "3 minutes ago". App.vue moves it on. */
export const useClock = defineStore('clock', () => {
  /** Milliseconds since the epoch. */
  const now = ref(Date.now())
  const tick = () => { now.value = Date.now() }
  return { now, tick }
})
