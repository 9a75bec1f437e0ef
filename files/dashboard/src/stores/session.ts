import { defineStore } from 'pinia'
import { ref, shallowRef } from 'vue'
import * as api from '@/api/client'
import { ApiError } from '@/api/errors'
import type { User } from '@/api/types'

/** Who is logged in. The proof is an HttpOnly cookie that this page never sees. */
export const useSession = defineStore('session', () => {
  const user = ref<User | null>(null)
  /** True once the hub has said whether the cookie still counts. */
  const asked = ref(false)
  /** True when a session ended by itself, to say so on the login page. */
  const expired = ref(false)
  /** Why the hub could not say who is logged in: out of reach, or this address is not allowed. */
  const trouble = shallowRef<unknown>(null)

  /** Ask the hub whether the browser's cookie is still good. What keeps it from saying so is left in `trouble`. */
  async function restore(): Promise<void> {
    trouble.value = null
    try {
      user.value = await api.getSession()
      asked.value = true
    } catch (failure) {
      user.value = null
      asked.value = failure instanceof ApiError && failure.status === 401
      if (!asked.value) trouble.value = failure
    }
  }

  async function logIn(username: string, password: string): Promise<void> {
    user.value = await api.logIn(username, password)
    asked.value = true
    expired.value = false
    trouble.value = null
  }

  /** End the session at the hub first: a page that only forgets it would leave the cookie usable. */
  async function logOut(): Promise<void> {
    await api.logOut().catch(failure => {
      if (!(failure instanceof ApiError && failure.status === 401)) throw failure
    })
    user.value = null
    expired.value = false
  }

  /** Called with every failed request: a 401 means that the session has ended. */
  function noticeFailure(failure: unknown): void {
    if (failure instanceof ApiError && failure.status === 401 && user.value !== null) {
      user.value = null
      expired.value = true
    }
  }

  return { user, asked, expired, trouble, restore, logIn, logOut, noticeFailure }
})
