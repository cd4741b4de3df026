/** Runs tasks one at a time, the first of those that wait, and each once however often asked. */
export class Work {
  waiting = new Set();
  busy = false;

  /** Takes functions by name, the most urgent first, and what to do with an error. */
  constructor(tasks, failed) {
    this.tasks = tasks;
    this.failed = failed;
  }

  async request(...names) {
    names.forEach((name) => this.waiting.add(name));
    if (this.busy) {
      return;
    }
    this.busy = true;
    try {
      while (this.waiting.size) {
        const name = Object.keys(this.tasks).find((task) => this.waiting.has(task));
        this.waiting.delete(name);
        await this.tasks[name]();
        await new Promise(requestAnimationFrame); // Gives time to the screen and the pen.
      }
    } catch (error) {
      this.waiting.clear();
      this.failed(error);
    }
    this.busy = false;
  }
}
