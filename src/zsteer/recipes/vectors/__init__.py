"""What the recipes of images and tables share: their sets, and the kit of every model of plain numbers."""
