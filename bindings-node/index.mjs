// Gets the CommonJS face.
// Gives the same names to `import`.
import livereel from './index.js'

export const { Engine, Session, Recording, Push, LivereelError, EVENTS, ERROR_CODES, SETTINGS } = livereel
export default livereel
