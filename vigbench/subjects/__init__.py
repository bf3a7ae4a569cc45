"""What a name means: vigbench's models, timm's, operators, plug-ins and the user's own, and what each takes."""
