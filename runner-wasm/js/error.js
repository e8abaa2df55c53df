// Every error of this package: a code for programs, a sentence for people, and, where there is something, what to do.

export class TunnelError extends Error {
  constructor(code, message, hint) {
    super(message);
    this.name = "TunnelError";
    this.code = code;
    this.hint = hint;
  }
}
