"""What runs between the consumer and the user's program. Standard library only, and no import from outside this
package: the daemon starts in a clean interpreter, and the zygotes see nothing else of this project."""
