// The error class of this package: a code for programs, a message and an optional hint for people.

export class TunnelError extends Error {
  constructor(code, message, hint) {
    super(message);
    this.name = "TunnelError";
    this.code = code;
    this.hint = hint;
  }
}
